#!/usr/bin/env python3
"""Validates the scoring service's interface, and records which document that was.

    python -m venv V && V/bin/pip install openapi-spec-validator
    V/bin/python tests/oracle/openapi.py > tests/oracle/openapi.json
"""
import hashlib
import importlib.metadata
import json
import pathlib

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

path = pathlib.Path(__file__).parents[2] / "crates/node/src/api/openapi.json"
text = path.read_bytes()
document = json.loads(text)
validate(document)
for schema in document["components"]["schemas"].values():
    Draft202012Validator.check_schema(schema)
tools = {name: importlib.metadata.version(name) for name in ["openapi-spec-validator", "jsonschema"]}
print(json.dumps({"valid": hashlib.sha256(text).hexdigest(), "tools": tools}, indent=1))
