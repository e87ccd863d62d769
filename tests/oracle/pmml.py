"""Scores the exported scorecard with PMML4S, for the tests of crates/model/src/pmml. Needs Java 8 or newer.

    TALLYSTICK_PMML=$PWD/tests/oracle/pmml cargo test -p tally-model exported_card   # writes scorecard.pmml and rows.json
    python -m venv V && V/bin/pip install pypmml
    V/bin/python tests/oracle/pmml.py                                               # writes scores.json
"""

import json
from pathlib import Path

from pypmml import Model

folder = Path(__file__).parent / "pmml"
model = Model.load(str(folder / "scorecard.pmml"))
rows = json.loads((folder / "rows.json").read_text())
scored = []
for row in rows:
    out = model.predict(row)
    reasons = [out[f"reason_{rank}"] for rank in range(1, 5)]
    scored.append(row | {"score": out["score"], "reasons": [reason for reason in reasons if reason is not None]})
Model.close()
(folder / "scores.json").write_text(json.dumps(scored, ensure_ascii=False, separators=(",", ":")) + "\n")
