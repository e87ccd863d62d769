#!/usr/bin/env python3
"""Logistic regression by scikit-learn and statsmodels, and steps that fit every set: python logistic.py > logistic.json

The rows come from a recurrence that crates/model/src/selection/tests.rs repeats; no data are read. A column is the WOE of
its code, `ln(good share / bad share)` over the training rows. Weight of row i: (i % 3 + 1) / 2; offset: (i % 7 - 3) / 10.
"""
import json
import math
import sys
import warnings

import numpy as np
import sklearn
import statsmodels
import statsmodels.api as sm
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
ROWS, FIELDS = 6000, ["x1", "x2", "copy", "sum", "noise"]


def draws():
    state = 7
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield (state >> 11) / 2**53


def table():
    draw = draws()
    codes, label = [], []
    for _ in range(ROWS):
        x1, x2 = int(next(draw) * 4), int(next(draw) * 4)
        copy = 3 - x1 if next(draw) < 0.02 else x1
        total = min((x1 + x2) // 2 + (next(draw) < 0.1), 3)
        noise = int(next(draw) * 4)
        codes.append([x1, x2, copy, total, noise])
        label.append(int(next(draw) < 1 / (1 + math.exp(-(0.8 * x1 + 0.6 * x2 - 2.5)))))
    train = np.arange(ROWS) % 10 >= 3
    return np.array(codes)[train], np.array(label)[train], np.arange(ROWS)[train]


def woe(column, y):
    value = {c: math.log(((column == c) & (y == 0)).sum() / (y == 0).sum() / (((column == c) & (y == 1)).sum() / (y == 1).sum())) for c in set(column)}
    return np.array([value[c] for c in column])


codes, y, row = table()
X = np.column_stack([woe(column, y) for column in codes.T])
weight, offset = (row % 3 + 1) / 2, (row % 7 - 3) / 10


def penalised(c, sample_weight=None):
    fit = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-14, max_iter=1000).fit(X, y, sample_weight=sample_weight)
    return {"c": c, "coefficients": [*fit.intercept_, *fit.coef_[0]]}


def plain(columns=range(len(FIELDS)), **terms):
    return sm.GLM(y, sm.add_constant(X[:, list(columns)], has_constant="add"), family=sm.families.Binomial(), **terms).fit(tol=1e-14, maxiter=200)


def told(fit):
    return {"coefficients": list(fit.params), "errors": list(fit.bse), "p": list(fit.pvalues)}


def steps(kind, enter, leave):
    """One field at a time, each by its own fit: likelihood ratio tests."""
    chosen = [] if kind == "forward" else list(range(len(FIELDS)))
    deviance = lambda columns: plain(columns).deviance if columns else plain([]).deviance
    while True:
        now = deviance(chosen)
        out = {j: chi2.sf(deviance([k for k in chosen if k != j]) - now, 1) for j in chosen} if kind != "forward" else {}
        worst = max(out, key=out.get, default=None)
        if worst is not None and out[worst] > leave:
            chosen.remove(worst)
            continue
        new = {j: chi2.sf(now - deviance(sorted([*chosen, j])), 1) for j in range(len(FIELDS)) if j not in chosen} if kind != "backward" else {}
        best = min(new, key=new.get, default=None)
        if best is None or new[best] >= enter:
            return [FIELDS[j] for j in sorted(chosen)]
        chosen = sorted([*chosen, best])


correlation = np.corrcoef(X.T)
limits = [(0.05, 0.1), (1e-4, 1e-3)]
out = {
    "libraries": f"scikit-learn {sklearn.__version__}, statsmodels {statsmodels.__version__}",
    "penalised": [penalised(c) for c in (0.01, 1.0)],
    "penalised_weighted": penalised(1.0, weight),
    "plain": told(plain()),
    "weighted": told(plain(freq_weights=weight)),
    "offset": told(plain(offset=offset)),
    "correlations": correlation.tolist(),
    "vif": np.diag(np.linalg.inv(correlation)).tolist(),
    "steps": [{"kind": kind, "enter": enter, "leave": leave, "kept": steps(kind, enter, leave)} for kind in ("forward", "backward", "both") for enter, leave in limits],
}
json.dump(out, sys.stdout, indent=1)
print()
