#!/usr/bin/env python3
"""Fine counts of public data and what optbinning 1.0.0 makes of them: python coarse.py DATA > optbinning.json

DATA is a folder with german_credit/joined.csv and taiwan_default_credit/joined.csv. Only binned counts are written.
`raw` is optbinning on the values with its own pre-binning; `same` is optbinning on our fine classes (equal-frequency,
right-closed), so that both solve the same problem.
"""
import json
import pathlib
import sys
import warnings

import numpy as np
import optbinning
import pandas as pd
from optbinning import OptimalBinning

warnings.filterwarnings("ignore")
DATA = pathlib.Path(sys.argv[1])
TRENDS = ["ascending", "descending", "peak", "valley", None]
NUMERIC = {
    "german_credit": ["duration_months", "amount", "age"],
    "taiwan_default_credit": ["LIMIT_BAL", "AGE", "PAY_0", "PAY_AMT1", "PAY_AMT2", "BILL_AMT1"],
}
CATEGORY = {"german_credit": ["status_account", "credit_history", "purpose", "bonds", "employment", "property"]}
FINE, MOST, SHARE = 50, 8, 0.05


def iv(values, label, **options):
    binning = OptimalBinning(min_bin_size=SHARE, max_n_bins=MOST, solver="cp", **options).fit(values, label)
    table = binning.binning_table.build()
    return {"status": binning.status, "iv": float(table.loc["Totals", "IV"])}


def counts(codes, label, codes_in_order):
    count = lambda bad: [int(((codes == code) & (label == bad)).sum()) for code in codes_in_order]
    return {"good": count(0), "bad": count(1)}


fields = []
for folder, names in NUMERIC.items():
    data = pd.read_csv(DATA / folder / "joined.csv")
    label = data["y"].to_numpy()
    for name in names:
        values = data[name].to_numpy(dtype=float)
        cuts = np.unique(np.nanquantile(values, np.linspace(0, 1, FINE + 1)[1:-1]))
        codes = np.searchsorted(cuts, values, side="left")
        splits = np.arange(len(cuts)) + 0.5
        row = {"data": folder, "field": name, **counts(codes, label, range(len(cuts) + 1)), "raw": {}, "same": {}}
        for trend in TRENDS:
            key = trend or "free"
            row["raw"][key] = iv(values, label, dtype="numerical", monotonic_trend=trend)
            row["same"][key] = iv(codes.astype(float), label, dtype="numerical", monotonic_trend=trend, user_splits=splits)
        fields.append(row)
categories = []
for folder, names in CATEGORY.items():
    data = pd.read_csv(DATA / folder / "joined.csv")
    label = data["y"].to_numpy()
    for name in names:
        values = data[name].astype(str).to_numpy()
        row = {"data": folder, "field": name, "values": sorted(set(values))}
        row |= counts(values, label, row["values"])
        row["raw"] = iv(values, label, dtype="categorical", cat_cutoff=SHARE)
        categories.append(row)
terms = {"fine": FINE, "max_classes": MOST, "min_share": SHARE}
json.dump({"library": f"optbinning {optbinning.__version__}", **terms, "fields": fields, "categories": categories}, sys.stdout, indent=1)
print()
