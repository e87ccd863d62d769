"""Checks exported models of both kinds, at a bank and at the platform, against models/model-v1.schema.json.

    cargo build --release
    python -m venv V && V/bin/pip install jsonschema
    V/bin/python tests/oracle/schema.py [target/release/tallystick]     # writes schema.json

The models are those of the demo. So that a schema which lets all pass is noticed, every export is also spoiled at each place that
the schema speaks of, and each spoiled one must be refused.
"""

import copy
import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

try:
    import jsonschema
except ImportError:
    sys.exit("SKIPPED: the package jsonschema is not installed; no model was checked")

ROOT = Path(__file__).parents[2]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target/release/tallystick")
SCHEMA = json.loads((ROOT / "models/model-v1.schema.json").read_text())


def exported(folder, node):
    """What a kept node of a demo exports."""
    directory, file = folder / node, folder / f"{node}.json"
    serve = [PROGRAM, "serve", "--until-stdin-closes", "--node", directory, "--secret-file", folder / "secret"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    served = subprocess.Popen(serve, stdin=subprocess.PIPE, **quiet)
    try:
        while subprocess.run([PROGRAM, "status", "--node", directory], **quiet).returncode != 0:
            if served.poll() is not None:
                sys.exit(f"{node} did not start")
            time.sleep(0.05)
        export = [PROGRAM, "model", "export", "--node", directory, "--format", "json", "--output", file]
        subprocess.run(export, check=True, **quiet)
    finally:
        served.stdin.close()
        served.wait()
    return json.loads(file.read_text())


def spoiled(model):
    """The model with one thing wrong at a time."""

    def changed(*path, value=None, drop=False):
        other = copy.deepcopy(model)
        place = other
        for key in path[:-1]:
            place = place[key]
        if drop:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return ".".join(map(str, path)), other

    for name in SCHEMA["required"]:
        yield changed(name, drop=True)
    for name in SCHEMA["properties"]["fit"]["required"]:
        yield changed("fit", name, drop=True)
    yield changed("unknown", value=1)
    yield changed("format", value="tallystick-model/v0")
    yield changed("model", value="not a digest")
    yield changed("state", value="perhaps")
    yield changed("fit", "rounds", 0, "sums", value="00")
    yield changed("fit", "fields", 0, "name", drop=True)
    if model["half"]:
        yield changed("half", "tables", drop=True)
    if model["fit"]["algorithm"] == "trees":
        yield changed("fit", "forest", drop=True)
        yield changed("fit", "forest", "bins", 0, value={"cut": []})
        nodes = model["fit"]["forest"]["trees"][0]["nodes"]
        leaf = next(place for place, node in enumerate(nodes) if "leaf" in node["shape"])
        yield changed("fit", "forest", "trees", 0, "nodes", 0, "shape", value={"leaf": 1.0, "split": {}})
        yield changed("fit", "forest", "trees", 0, "nodes", 0, "shape", "split", "missing_left", drop=True)
        yield changed("fit", "forest", "trees", 0, "nodes", leaf, "shape", "leaf", value="1.0")
        yield changed("fit", "fields", 0, "monotone", value="up")
        yield changed("fit", "algorithm", value="scorecard")
    else:
        yield changed("fit", "intercept", drop=True)
        yield changed("fit", "fields", 0, "points", value=[0.5])
        yield changed("fit", "fields", 0, "bins", value={"codes": -1})
        yield changed("fit", "algorithm", value="trees")


jsonschema.Draft202012Validator.check_schema(SCHEMA)
validator = jsonschema.Draft202012Validator(SCHEMA)
results = {"validator": f"jsonschema {version('jsonschema')}", "models": []}
for kind in ("scorecard", "trees"):
    with tempfile.TemporaryDirectory() as folder:
        keep = Path(folder) / "demo"
        subprocess.run([PROGRAM, "demo", "--model", kind, "--keep", keep], check=True, capture_output=True)
        for node in ("bank-1", "platform"):
            model = exported(keep, node)
            wrong = [error.json_path + ": " + error.message[:200] for error in validator.iter_errors(model)]
            others = list(spoiled(model))
            passed = [place for place, other in others if validator.is_valid(other)]
            if wrong or passed:
                sys.exit(f"{kind} at {node}: {wrong}; not refused when spoiled: {passed}")
            results["models"].append({"kind": kind, "node": node, "valid": True, "spoiled_and_refused": len(others)})
(Path(__file__).parent / "schema.json").write_text(json.dumps(results, indent=1) + "\n")
print(json.dumps(results, indent=1))
