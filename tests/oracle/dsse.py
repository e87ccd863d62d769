"""What the parties of a session signed, under securesystemslib (in-toto and TUF's library), which is not ours.

    python3 dsse.py EVIDENCE REGISTRY

EVIDENCE is what `tallystick session evidence` wrote, REGISTRY the consortium's. Every party of the contract must have signed
the contract; the platform and every bank that the round results name last, the two statements of the session's end. Then
one byte of each payload is changed, and a party's signature is taken away: both must be refused.
"""

import base64
import hashlib
import json
import sys

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

STATEMENT = "application/vnd.in-toto+json"
BASE = "https://tallystick.example/attestation/"


def key_of(party):
    public = base64.b64decode(party["node_key"])
    keyid = hashlib.sha256(public).hexdigest()[:16]
    return SSlibKey(keyid, "ed25519", "ed25519", {"public": public.hex()})


def refused(envelope, keys):
    try:
        envelope.verify(keys, len(keys))
    except VerificationError:
        return True
    return False


def check(text, kind, keys):
    """Returns the predicate after every one of `keys` was found among the signers."""
    envelope = Envelope.from_dict(json.loads(text))
    assert envelope.payload_type == STATEMENT, envelope.payload_type
    accepted = envelope.verify(keys, len(keys))
    assert len(accepted) == len(keys)
    statement = json.loads(envelope.payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == f"{BASE}{kind}/v1", statement["predicateType"]
    assert statement["subject"] and all(one["name"] and one["digest"] for one in statement["subject"])

    changed = Envelope.from_dict(json.loads(text))
    changed.payload = changed.payload.replace(b"session", b"sessioN", 1)
    assert refused(changed, keys), f"{kind}: a changed payload was accepted"
    fewer = Envelope.from_dict(json.loads(text))
    fewer.signatures.pop(keys[0].keyid)
    assert refused(fewer, keys), f"{kind}: a missing signature was not noticed"
    return statement["predicate"]


def main():
    evidence = json.load(open(sys.argv[1]))
    parties = {party["name"]: key_of(party) for party in json.load(open(sys.argv[2]))["parties"]}
    contract_text = json.dumps(evidence["contract"])
    payload = base64.b64decode(evidence["contract"]["payload"])
    named = [party["name"] for party in json.loads(payload)["predicate"]["parties"]]
    contract = check(contract_text, "session-contract", [parties[name] for name in named])
    digest = hashlib.sha256(payload).hexdigest()

    results_envelope, model_envelope = evidence["statements"]
    rounds = json.loads(base64.b64decode(results_envelope["payload"]))["predicate"]["rounds"]
    platform = [party["name"] for party in contract["parties"] if party["role"] == "platform"]
    signers = [parties[name] for name in rounds[-1]["cohort"] + platform]
    results = check(json.dumps(results_envelope), "round-result", signers)
    model = check(json.dumps(model_envelope), "model-release", signers)
    assert results["contract"] == model["contract"] == digest
    assert model["results"] == hashlib.sha256(base64.b64decode(results_envelope["payload"])).hexdigest()
    print(json.dumps({"signers": len(signers), "rounds": len(results["rounds"])}))


main()
