#!/usr/bin/env python3
"""Records what XGBoost grows on small tables of bin codes, and its SHAP contributions, into xgboost_trees.json.

Run with Python 3.11, xgboost 3.2.0, numpy 2.4.6:  python tests/oracle/xgboost_trees.py
Every feature is a small integer code (0 stands for missing), so XGBoost's bins are our codes and both grow on equal
histograms. Trees are written in Tallystick's own shape: a split on a threshold t sends codes below t left.
"""
import json
import math
import pathlib

import numpy as np
import xgboost as xgb

ROWS, FIELDS, CODES = 1500, 6, 12


def table(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, CODES + 1, size=(ROWS, FIELDS))
    codes[rng.random((ROWS, FIELDS)) < [0.0, 0.15, 0.0, 0.3, 0.05, 0.0]] = 0
    x = codes / CODES
    z = 3 * x[:, 0] - 2 * x[:, 1] + 2 * x[:, 2] * (x[:, 3] > 0.5) - (codes[:, 3] == 0) + np.sin(5 * x[:, 4]) - 1.5
    label = (rng.random(ROWS) < 1 / (1 + np.exp(-z))).astype(int)
    return codes, label


def tree(learner, number):
    one = learner["trees"][number]
    nodes = []
    for at, left in enumerate(one["left_children"]):
        if left < 0:
            shape = {"leaf": one["split_conditions"][at]}
        else:
            shape = {"split": {
                "field": one["split_indices"][at],
                "last_left": min(max(math.ceil(one["split_conditions"][at]) - 1, 0), CODES),
                "missing_left": bool(one["default_left"][at]),
                "left": left,
                "right": one["right_children"][at],
                "gain": one["loss_changes"][at],
            }}
        nodes.append({"rows": 0, "cover": one["sum_hessian"][at], "shape": shape})
    return {"nodes": nodes}


CASES = {
    "depth-wise": {"max_depth": 4},
    "leaf-wise": {"max_depth": 6, "grow_policy": "lossguide", "max_leaves": 11},
    "gamma": {"max_depth": 5, "gamma": 3.0, "lambda": 4.0},
    "monotone": {"max_depth": 4, "monotone_constraints": "(1,-1,1,0,-1,0)"},
}


def case(name, parameters, codes, label):
    x = codes.astype(float)
    x[codes == 0] = np.nan
    data = xgb.DMatrix(x, label)
    common = {
        "objective": "binary:logistic", "tree_method": "hist", "max_bin": 64, "eta": 0.3, "lambda": 1.0,
        "min_child_weight": 2.0, "base_score": float(label.mean()), "nthread": 1,
    }
    booster = xgb.train(common | parameters, data, 8)
    learner = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    contributions = booster.predict(data, pred_contribs=True)
    margins = booster.predict(data, output_margin=True)
    some = range(0, ROWS, 50)
    return {
        "name": name,
        "trees": [tree(learner, number) for number in range(8)],
        "margins": [round(float(margin), 6) for margin in margins],
        "contributions": {str(row): [round(float(value), 6) for value in contributions[row]] for row in some},
    }


if __name__ == "__main__":
    codes, label = table(1)
    compact = lambda value: json.dumps(value, separators=(",", ":"))
    cases = ",\n".join(compact(case(name, parameters, codes, label)) for name, parameters in CASES.items())
    text = f'{{"codes":{compact(codes.T.tolist())},\n"label":{compact(label.tolist())},\n"cases":[\n{cases}\n]}}\n'
    pathlib.Path(__file__).with_suffix(".json").write_text(text)
