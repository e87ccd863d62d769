"""Scores exported models with PMML4S, for the tests of crates/model/src/pmml. Needs Java 8 or newer.

    TALLYSTICK_PMML=$PWD/tests/oracle/pmml cargo test -p tally-model the_exported   # writes MODEL.pmml and MODEL.rows.json
    python -m venv V && V/bin/pip install pypmml
    V/bin/python tests/oracle/pmml.py                                              # writes MODEL.json
"""

import json
from pathlib import Path

from pypmml import Model

FOLDER = Path(__file__).parent / "pmml"


def scored(model, row):
    out = model.predict(row)
    reasons = [out[name] for name in sorted(out) if name.startswith("reason_")]
    figures = {name: out[name] for name in ("log_odds", "score", "probability") if name in out}
    return row | figures | ({"reasons": [reason for reason in reasons if reason is not None]} if reasons else {})


for name in ("scorecard", "forest"):
    model = Model.load(str(FOLDER / f"{name}.pmml"))
    rows = json.loads((FOLDER / f"{name}.rows.json").read_text())
    lines = [json.dumps(scored(model, row), ensure_ascii=False, separators=(",", ":")) for row in rows]
    (FOLDER / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    (FOLDER / f"{name}.rows.json").unlink()
Model.close()
