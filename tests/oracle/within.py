"""AUCs within banks and DeLong's variances by scikit-learn and numpy: the oracle of crates/model/src/judge/tests/within.rs.

    python -m venv V && V/bin/pip install numpy scikit-learn
    V/bin/python tests/oracle/within.py     # writes within.json

Three banks with bad rates 5, 15 and 40 %; scores in steps, so that some are tied.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

rng = np.random.default_rng(20261201)


def placements(score, bad):
    """Of every row the share of the other kind on the right side of it, pair by pair."""
    good_scores, bad_scores = score[~bad], score[bad]
    wins = (bad_scores[:, None] > good_scores) + 0.5 * (bad_scores[:, None] == good_scores)
    return wins.mean(axis=1), wins.mean(axis=0)


def delong(first, second, bad):
    """Covariance matrix of two AUCs (DeLong et al. 1988)."""
    of_first, of_second = placements(first, bad), placements(second, bad)
    return sum(np.cov(np.vstack(kind)) / len(kind[0]) for kind in zip(of_first, of_second))


banks = []
for rows, rate in [(700, 0.05), (420, 0.15), (240, 0.40)]:
    bad = rng.random(rows) < rate
    risk = rng.normal(size=rows) + 0.9 * bad
    joint = np.round(risk + rng.normal(scale=0.6, size=rows), 2) + np.log(rate)
    own = np.round(risk * 0.4 + rng.normal(size=rows), 1) + np.log(rate)
    covariance = delong(joint, own, bad)
    banks.append(
        {
            "joint": joint.tolist(),
            "own": own.tolist(),
            "bad": bad.astype(int).tolist(),
            "auc": [roc_auc_score(bad, joint), roc_auc_score(bad, own)],
            "variance": [covariance[0, 0], covariance[1, 1]],
            "of_difference": covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1],
        }
    )

made = {"made_by": f"numpy {version('numpy')}, scikit-learn {version('scikit-learn')}", "banks": banks}
Path(__file__).with_suffix(".json").write_text(json.dumps(made, indent=None) + "\n")
