#!/usr/bin/env python3
"""A second implementation of the expand-convolute code, against which the first is tested.

    pip install cryptography==50.0.2 && python tests/vectors/code.py tests/vectors/code.json

Reads the `inputs` of the file, computes the outputs and writes them back. Written from the header of crates/crypto/src/vole/code.rs
and eprint 2023/882. A word is an element of GF(2)[X]/(X^128 + X^7 + X^2 + X + 1), written as a number whose bit i is the
coefficient of X^i.
"""

import hashlib
import json
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MODULUS = 1 << 128 | 0x87
GENERATOR = 1 << 61
WIDTH, REGULAR, UNIFORM, CHUNK = 24, 4, 3, 1 << 14


def multiply(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = a << 1, b >> 1
    for bit in range(product.bit_length() - 1, 127, -1):
        if product >> bit & 1:
            product ^= MODULUS << (bit - 128)
    return product


def coefficients(seed, part, number):
    """32-bit words: AES-128-CTR (64-bit little-endian counter) under a key from the seed."""
    hashed = hashlib.sha256()
    for value in (b"tallystick/code/v2", seed, part, number.to_bytes(8, "big")):
        hashed.update(len(value).to_bytes(8, "big") + value)
    block = Cipher(algorithms.AES(hashed.digest()[:16]), modes.ECB()).encryptor()
    counter = 0
    while True:
        stream = block.update(counter.to_bytes(8, "little") + bytes(8))
        counter += 1
        for at in range(0, 16, 4):
            yield int.from_bytes(stream[at:at + 4], "little")


def convolve(x, words):
    n = len(x)
    turns = [next(words) for _ in range(n)]
    for j in range(n):
        if j > WIDTH:
            x[j] = multiply(GENERATOR, x[j] ^ x[j - WIDTH - 1])
        for back in range(1, WIDTH + 1):
            if back <= j and turns[j] >> (back - 1) & 1:
                x[j] ^= x[j - back]
    for j in range(WIDTH + 1):
        turn = next(words)
        x[j] = multiply(GENERATOR, x[j] ^ x[n + j - WIDTH - 1])
        for back in range(j + 1, WIDTH + 1):
            if turn >> (back - 1) & 1:
                x[j] ^= x[n + j - back]


def compress(vector, seed):
    n = len(vector) // 2
    first, second = vector[:n], vector[n:]
    for number in range(2):
        convolve(second, coefficients(seed, b"convolution", number))
    quarter = n // REGULAR
    for j in range(n):
        if j % CHUNK == 0:
            words = coefficients(seed, b"expander", j // CHUNK)
        for region in range(REGULAR):
            first[j] ^= second[region * quarter + (next(words) * quarter >> 32)]
        anywhere = 0
        for _ in range(UNIFORM):
            anywhere ^= second[next(words) * n >> 32]
        first[j] ^= multiply(GENERATOR, anywhere)
    return first


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    vectors["outputs"] = []
    for case in vectors["inputs"]:
        vector = [0] * case["length"]
        for at, value in case["entries"]:
            vector[at] = int(value, 16)
        vectors["outputs"].append([f"{word:032x}" for word in compress(vector, bytes.fromhex(case["seed"]))])
    with open(path, "w", encoding="utf-8") as file:
        json.dump(vectors, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
