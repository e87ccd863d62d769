"""Records what scorecardpy says of the stability of scores, and scikit-learn of rankings by expected labels, for the tests of
crates/model/src/monitor.

    python -m venv V && V/bin/pip install scorecardpy==0.1.9.7 "pandas<3" "numpy<2" scikit-learn setuptools
    V/bin/python tests/oracle/monitor.py > tests/oracle/monitor.json

The estimate of AUC and KS without labels takes every applicant twice, as bad with weight p and as good with weight 1 - p
(confidence-based performance estimation, as NannyML has it).
"""

import json
import sys

import numpy as np
import pandas as pd
import scorecardpy as sc
from sklearn.metrics import roc_auc_score, roc_curve

BREAKS = [540, 560, 580, 600, 620, 640, 660]


def bands(scores):
    return np.histogram(scores, [-np.inf, *BREAKS, np.inf])[0].tolist()


def stability(rng, name, shift, rows):
    train = rng.normal(600, 40, 4000).round(2)
    test = rng.normal(600 + shift, 40, rows).round(2)
    # Few distinct scores are taken as bands; labels do not enter the index.
    frames = {name: pd.DataFrame({"score": np.digitize(rows, BREAKS)}) for name, rows in [("train", train), ("test", test)]}
    labels = {name: pd.Series(rng.integers(0, 2, len(frame))) for name, frame in frames.items()}
    found = sc.perf_psi(frames, labels, show_plot=False)
    return {"name": name, "expected": bands(train), "actual": bands(test), "psi": float(found["psi"]["PSI"].iloc[0])}


def estimated(rng, name, spread):
    z = rng.normal(-2.5, spread, 300).round(2)
    p = 1 / (1 + np.exp(-z))
    both, labels, weights = np.r_[z, z], np.r_[np.ones(300), np.zeros(300)], np.r_[p, 1 - p]
    false, true, _ = roc_curve(labels, both, sample_weight=weights, drop_intermediate=False)
    auc = roc_auc_score(labels, both, sample_weight=weights)
    return {"name": name, "log_odds": z.tolist(), "auc": float(auc), "ks": float(np.max(true - false))}


def main():
    rng = np.random.default_rng(11)
    drift = [("same", 0, 900), ("slight", 12, 700), ("shifted", 30, 400)]
    spreads = [("narrow", 0.2), ("usual", 1.0), ("wide", 2.5)]
    recorded = {
        "versions": {"scorecardpy": "0.1.9.7", "numpy": np.__version__, "pandas": pd.__version__},
        "stability": [stability(rng, *case) for case in drift],
        "estimated": [estimated(rng, *case) for case in spreads],
    }
    json.dump(recorded, sys.stdout, separators=(",", ":"))


main()
