"""Records what scikit-learn, scipy and statsmodels say of discretised scores, for the tests of crates/model/src/metrics.

    python -m venv V && V/bin/pip install scikit-learn==1.9.1 statsmodels scipy numpy
    V/bin/python tests/oracle/metrics.py > tests/oracle/metrics.json

DeLong's variance is computed here from its definition, one comparison for each pair of rows, and not from ranks;
Hosmer-Lemeshow and the stability index from theirs. Bootstrap standard errors are recorded where the interval is asymptotic.
"""

import json
import sys

import numpy as np
import scipy
import sklearn
import statsmodels
from scipy import stats
from scipy.special import expit
from sklearn import metrics
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

BOOTSTRAP = 4000


def cell_of(grid, z):
    place = np.floor((z - grid["low"]) / grid["step"]) + 1
    return np.clip(place, 0, grid["cells"] - 1).astype(int)


def middle(grid, cell):
    return grid["low"] + grid["step"] * (cell - 0.5)


def histogram(cells, y, width):
    counts = np.zeros((width, 2), dtype=int)
    np.add.at(counts, (cells, y), 1)
    return [[int(c), int(g), int(b)] for c, (g, b) in enumerate(counts) if g + b > 0]


def placements(z, y):
    bad, good = z[y == 1], z[y == 0]
    wins = (bad[:, None] > good[None, :]) + 0.5 * (bad[:, None] == good[None, :])
    return wins.mean(axis=1), wins.mean(axis=0)


def delong(z, y):
    v10, v01 = placements(z, y)
    return v10.mean(), v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01)


def delong_paired(z1, z2, y):
    (a10, a01), (b10, b01) = placements(z1, y), placements(z2, y)
    s10, s01 = np.cov(a10, b10), np.cov(a01, b01)
    variance = (s10[0, 0] + s10[1, 1] - 2 * s10[0, 1]) / len(a10) + (s01[0, 0] + s01[1, 1] - 2 * s01[0, 1]) / len(a01)
    difference = a10.mean() - b10.mean()
    return {
        "first": a10.mean(),
        "second": b10.mean(),
        "difference": difference,
        "variance": variance,
        "p_value": 2 * stats.norm.sf(abs(difference) / np.sqrt(variance)),
    }


def quantile_bands(p, bands):
    """Bands as sklearn.calibration.calibration_curve makes them."""
    edges = np.percentile(p, np.linspace(0, 1, bands + 1) * 100)
    return np.searchsorted(edges[1:-1], p)


def ks_of(z, y):
    return stats.ks_2samp(z[y == 1], z[y == 0]).statistic


def bootstrap(rng, z, p, y):
    draws = {"ks": [], "average_precision": [], "brier": [], "log_loss": []}
    good, bad = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    for _ in range(BOOTSTRAP):
        rows = np.concatenate([rng.choice(good, len(good)), rng.choice(bad, len(bad))])
        fpr, tpr, _ = metrics.roc_curve(y[rows], z[rows])
        draws["ks"].append(np.abs(tpr - fpr).max())
        draws["average_precision"].append(metrics.average_precision_score(y[rows], z[rows]))
        rows = rng.integers(0, len(y), len(y))
        draws["brier"].append(np.mean((p[rows] - y[rows]) ** 2))
        draws["log_loss"].append(-np.mean(np.log(np.where(y[rows] == 1, p[rows], 1 - p[rows]))))
    return {name: float(np.std(values, ddof=1)) for name, values in draws.items()}


def one_score(name, grid, raw, y, rng=None):
    cells = cell_of(grid, raw)
    z = middle(grid, cells)
    p = expit(z)
    fpr, tpr, _ = metrics.roc_curve(y, z, drop_intermediate=False)
    precision, recall, _ = metrics.precision_recall_curve(y, z, drop_intermediate=False)
    observed, expected = calibration_curve(y, p, n_bins=10, strategy="quantile")
    band = quantile_bands(p, 10)
    sums = [(int((y[band == b] == 0).sum()), int(y[band == b].sum()), float(p[band == b].sum())) for b in np.unique(band)]
    terms = [(bad - e) ** 2 / (e * (1 - e / (good + bad))) for good, bad, e in sums]
    auc, variance = delong(z, y)
    case = {
        "name": name,
        "grid": grid,
        "cells": histogram(cells, y, grid["cells"]),
        "auc": metrics.roc_auc_score(y, z),
        "auc_variance": variance,
        "ks": ks_of(z, y),
        "average_precision": metrics.average_precision_score(y, z),
        "brier": metrics.brier_score_loss(y, p),
        "log_loss": metrics.log_loss(y, p),
        "brier_unrounded": metrics.brier_score_loss(y, expit(raw)),
        "log_loss_unrounded": metrics.log_loss(y, expit(raw)),
        "roc": [fpr.tolist(), tpr.tolist()],
        "precision_recall": [precision.tolist(), recall.tolist()],
        "calibration": [expected.tolist(), observed.tolist()],
        "bands": [[good, bad] for good, bad, _ in sums],
        "wilson": [list(proportion_confint(bad, good + bad, method="wilson")) for good, bad, _ in sums],
        "hosmer_lemeshow": {
            "statistic": sum(terms),
            "p_holdout": float(stats.chi2.sf(sum(terms), len(terms))),
            "p_train": float(stats.chi2.sf(sum(terms), len(terms) - 2)),
        },
    }
    assert abs(auc - case["auc"]) < 1e-12
    if rng is not None:
        case["bootstrap"] = bootstrap(rng, z, p, y)
    return case


def two_scores(name, grid, first, second, y):
    a, b = cell_of(grid, first), cell_of(grid, second)
    counts = np.zeros((grid["cells"], grid["cells"], 2), dtype=int)
    np.add.at(counts, (a, b, y), 1)
    cells = [[int(i), int(j), *map(int, counts[i, j])] for i, j in zip(*np.nonzero(counts.sum(axis=2)))]
    case = {"name": name, "width": grid["cells"], "cells": cells, **delong_paired(a.astype(float), b.astype(float), y)}
    case["swap"] = []
    for approval in (0.3, 0.5, 0.8):
        def cut(score, wanted):
            rows = np.array([(score < edge).sum() for edge in range(grid["cells"] + 1)])
            return int(np.argmin(np.abs(rows - wanted))), int(rows[np.argmin(np.abs(rows - wanted))])
        first_cut, approved = cut(a, approval * len(y))
        second_cut, _ = cut(b, approved)
        kept, held = a < first_cut, b < second_cut
        count = lambda rows: [int((y[rows] == 0).sum()), int((y[rows] == 1).sum())]
        case["swap"].append({
            "approval": approval, "both": count(kept & held), "swap_in": count(kept & ~held),
            "swap_out": count(~kept & held), "neither": count(~kept & ~held),
        })
    return case


def stability(name, expected, actual):
    # As many half rows as there are empty cells beside a full one; cells empty on both sides do not count.
    expected, actual = np.array(expected, dtype=float), np.array(actual, dtype=float)
    kept = (expected > 0) | (actual > 0)
    share = lambda counts: np.where(counts > 0, counts, 0.5)[kept] / counts.sum()
    e, a = share(expected), share(actual)
    index = float(((a - e) * np.log(a / e)).sum())
    noise = 1 / expected.sum() + 1 / actual.sum()
    return {
        "name": name, "expected": expected.astype(int).tolist(), "actual": actual.astype(int).tolist(),
        "index": index, "p_value": float(stats.chi2.sf(index / noise, kept.sum() - 1)),
    }


def main():
    rng = np.random.default_rng(20261123)
    grid = {"low": -10.0, "step": 0.05, "cells": 402}
    wide = {"low": -4.0, "step": 0.5, "cells": 14}
    quality = rng.normal(size=4003)
    joint = -2.1 + 1.3 * quality + rng.normal(scale=0.5, size=4003)
    own = -2.1 + 0.9 * quality + rng.normal(scale=0.8, size=4003)
    y = (rng.random(4003) < expit(-2.1 + 1.4 * quality)).astype(int)
    few = slice(0, 173)
    scores = [
        one_score("fine grid", grid, joint, y, rng),
        one_score("fine grid, weaker score", grid, own, y),
        one_score("coarse grid, ties", wide, joint, y),
        one_score("few rows, off by one unit", grid, joint[few] + 1.0, y[few]),
        one_score("open cells", {"low": -3.0, "step": 0.25, "cells": 10}, joint, y),
        one_score("worse than chance", grid, -joint, y),
    ]
    pairs = [
        two_scores("two scores", {"low": -7.0, "step": 0.5, "cells": 26}, joint, own, y),
        two_scores("two scores, few rows", {"low": -7.0, "step": 0.5, "cells": 26}, joint[few], own[few], y[few]),
    ]
    drift = [
        stability("same", [100, 250, 400, 250], [98, 260, 391, 251]),
        stability("shifted", [100, 250, 400, 250], [300, 250, 150, 90]),
        stability("empty cells", [100, 0, 0, 250, 3], [90, 0, 12, 260, 0]),
    ]
    versions = {module.__name__: module.__version__ for module in (np, scipy, sklearn, statsmodels)}
    json.dump({"versions": versions, "scores": scores, "pairs": pairs, "stability": drift}, sys.stdout, separators=(",", ":"))
    print()


main()
