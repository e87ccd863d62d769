#!/usr/bin/env python3
"""A second implementation of one round of secure aggregation, against which the first is tested.

    pip install cryptography==50.0.2 && python tests/vectors/aggregation.py tests/vectors/aggregation.json

Reads the `inputs` of the file, computes everything that follows from them and writes it back. Written from the documents alone
(module headers of crates/crypto and crates/protocol/src/aggregation, RFC 9496, RFC 8032, RFC 5869): ristretto255, Shamir and
Feldman are spelled out here; AES, ChaCha20 and the hashes come from `cryptography` and the standard library.
"""

import hashlib
import hmac
import json
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ROUNDS_PER_BATCH = 16
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


# The group: Edwards coordinates (X, Y, Z, T), ristretto255 encoding of RFC 9496, section 4.3.2.

def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def sqrt_ratio(u, v):
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    if check in (-u % P, -u * SQRT_M1 % P):
        r = r * SQRT_M1 % P
    return check in (u % P, -u % P), absolute(r)


def absolute(x):
    return P - x if x & 1 else x


BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = sqrt_ratio((BASE_Y * BASE_Y - 1) % P, (D * BASE_Y * BASE_Y + 1) % P)[1]
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)
INVSQRT_A_MINUS_D = sqrt_ratio(1, (-1 - D) % P)[1]


def encode(point):
    x0, y0, z0, t0 = point
    u1, u2 = (z0 + y0) * (z0 - y0) % P, x0 * y0 % P
    _, invsqrt = sqrt_ratio(1, u1 * u2 * u2 % P)
    den1, den2 = invsqrt * u1 % P, invsqrt * u2 % P
    z_inv = den1 * den2 * t0 % P
    x, y, den_inv = x0, y0, den2
    if t0 * z_inv % P & 1:
        x, y, den_inv = y0 * SQRT_M1 % P, x0 * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    if x * z_inv % P & 1:
        y = -y % P
    return absolute(den_inv * (z0 - y) % P).to_bytes(32, "little")


def ed25519_key(seed):
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    x, y, z, _ = times(scalar & (1 << 254) - 8 | 1 << 254, BASE)
    z = pow(z, -1, P)
    return (y * z % P | (x * z % P & 1) << 255).to_bytes(32, "little")


# Hashes and streams.

def digest(label, *parts):
    parts = (label.encode(), *parts)
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def number(value):
    return value.to_bytes(8, "big")


def hkdf(salt, secret, info):
    key = hmac.digest(salt, secret, "sha256")
    return hmac.digest(key, info + b"\x01", "sha256")


def derive(seed, label, *parts):
    return hkdf(b"tallystick/seed/v1", seed, digest(label, *parts))


def scalars(seed, count):
    """64 bytes of ChaCha20 each, reduced."""
    stream = Cipher(algorithms.ChaCha20(seed, bytes(16)), None).encryptor().update(bytes(64 * count))
    return [int.from_bytes(stream[64 * n:64 * n + 64], "little") % ORDER for n in range(count)]


def keystream(seed, words):
    key = derive(seed, "tallystick/mask-key")[:16]
    counters = b"".join(n.to_bytes(16, "little") for n in range((words + 1) // 2))
    stream = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counters)
    return [int.from_bytes(stream[8 * n:8 * n + 8], "little") for n in range(words)]


# The protocol.

class Bank:
    def __init__(self, given, threshold):
        self.name, self.values = given["name"], given["values"]
        self.key = ed25519_key(bytes.fromhex(given["signing_seed"]))
        drawn = iter(scalars(derive(bytes.fromhex(given["seed"]), "batch", bytes(4)), 1 + 2 * threshold * ROUNDS_PER_BATCH))
        self.transport = encode(times(next(drawn), BASE))
        poly = lambda: [next(drawn) for _ in range(threshold)]
        self.rounds = [(poly(), poly()) for _ in range(ROUNDS_PER_BATCH)]
        self.committed = [[[encode(times(term, BASE)) for term in one] for one in both] for both in self.rounds]

    def keys_digest(self, roster):
        parts = [roster, self.name.encode(), number(0), self.transport]
        for pairwise, own in self.committed:
            rest = digest("tallystick/commitments/v1", b"".join(pairwise[1:]), b"".join(own[1:]))
            parts += [pairwise[0], own[0], rest]
        return digest("tallystick/keys/v2", *parts)


def share(polynomial, x):
    return sum(term * pow(x, power, ORDER) for power, term in enumerate(polynomial)) % ORDER


def rebuild(shares):
    total = 0
    for i, value in shares:
        weight = 1
        for j, _ in shares:
            if j != i:
                weight = weight * j * pow(j - i, -1, ORDER) % ORDER
        total += weight * value
    return total % ORDER


def main(path):
    given = json.load(open(path))["inputs"]
    names = [bank["name"] for bank in given["banks"]]
    threshold = 2 * len(names) // 3 + 1
    banks = [Bank(bank, threshold) for bank in given["banks"]]
    index = {bank.name: place + 1 for place, bank in enumerate(banks)}
    session, request = bytes.fromhex(given["session"]), bytes.fromhex(given["request"])
    signed = [part for bank in banks for part in (bank.name.encode(), bank.key)]
    roster = digest("tallystick/roster/v1", session, number(given["min_cohort"]), *signed)
    roll = digest("tallystick/roll/v1", *(bank.keys_digest(roster) for bank in banks))
    numbers = number(0), request, number(given["part"]), number(given["words"])
    offer = digest("tallystick/offer/v3", roster, roll, *numbers, *(name.encode() for name in names))

    def own_mask(secret):
        return hkdf(roll, secret.to_bytes(32, "little"), digest("tallystick/own-mask/v1", offer))

    def pairwise_mask(secret, one, other):
        shared = encode(times(secret, times(other.rounds[0][0][0], BASE)))
        pair = sorted([one.name, other.name])
        return hkdf(roll, shared, digest("tallystick/pairwise-mask/v1", offer, *(name.encode() for name in pair)))

    def apply(words, mask, sign):
        return [(word + sign * key) % 2**64 for word, key in zip(words, keystream(mask, len(words)))]

    masked = {}
    for bank in banks:
        words = apply([value % 2**64 for value in bank.values], own_mask(bank.rounds[0][1][0]), 1)
        for other in banks:
            if other is not bank:
                mask = pairwise_mask(bank.rounds[0][0][0], bank, other)
                words = apply(words, mask, 1 if bank.name < other.name else -1)
        masked[bank.name] = words

    # One bank falls silent: the others give shares of its pairwise key, and of each other's self masks.
    survivors = [bank for bank in banks if bank.name != given["dropped"]]
    answers = {
        holder.name: [share(bank.rounds[0][bank in survivors], index[holder.name]) for bank in banks]
        for holder in survivors
    }
    total = [sum(column) % 2**64 for column in zip(*(masked[bank.name] for bank in survivors))]
    for place, bank in enumerate(banks):
        shares = [(index[holder], answers[holder][place]) for holder in answers][:threshold]
        secret = rebuild(shares)
        assert secret == bank.rounds[0][bank in survivors][0]
        if bank in survivors:
            total = apply(total, own_mask(secret), -1)
        else:
            for other in survivors:
                total = apply(total, pairwise_mask(secret, bank, other), 1 if bank.name < other.name else -1)
    plain = [sum(column) % 2**64 for column in zip(*(bank.values for bank in survivors))]
    assert total == plain

    hexes = lambda parts: [part.hex() for part in parts]
    output = {
        "roster": roster.hex(),
        "roll": roll.hex(),
        "offer": offer.hex(),
        "banks": {
            bank.name: {
                "transport": bank.transport.hex(),
                "keys": bank.keys_digest(roster).hex(),
                "pairwise": hexes(bank.committed[0][0]),
                "own": hexes(bank.committed[0][1]),
                "own_mask": own_mask(bank.rounds[0][1][0]).hex(),
                "masked": masked[bank.name],
                "shares": [value.to_bytes(32, "little").hex() for value in answers.get(bank.name, [])],
            }
            for bank in banks
        },
        "sum": [word - 2**64 if word >> 63 else word for word in total],
    }
    with open(path, "w") as file:
        json.dump({"inputs": given, "outputs": output}, file, indent=1)
        file.write("\n")


main(sys.argv[1])
