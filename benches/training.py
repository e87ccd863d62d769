#!/usr/bin/env python3
"""Boosted trees beside XGBoost, on the same rows with the same parameters and threads, in one run: medians and ratios.

    benches/training.py [--rows N] [--fields F] [--bins B] [--trees T] [--depth D] [--runs R]

Builds Tallystick and runs `tallystick bench training`. XGBoost runs where this Python has `xgboost` and `numpy`; otherwise
this says so and measures Tallystick alone. The two take turns, so that a busy machine is busy for both.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser()
    for name, default in [("rows", 1_000_000), ("fields", 50), ("bins", 32), ("trees", 60), ("depth", 4), ("runs", 3)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def draw(numpy, place, stream):
    """The numbers of crates/node/src/bench/training.rs."""
    with numpy.errstate(over="ignore"):
        z = (place << numpy.uint64(16) | numpy.uint64(stream)) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> numpy.uint64(30)) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> numpy.uint64(27)) * numpy.uint64(0x94D049BB133111EB)
        return ((z ^ z >> numpy.uint64(31)) >> numpy.uint64(11)).astype(float) / 2**53


def table(numpy, rows, fields):
    place = numpy.arange(rows, dtype=numpy.uint64)
    x = numpy.empty((rows, fields), dtype=numpy.float32)
    risk = numpy.full(rows, -1.0)
    for field in range(fields):
        column = numpy.floor(draw(numpy, place, field + 1) * 1000) / 1000
        x[:, field] = column
        if field % 5 == 0:
            risk += 2 * column - 1
    label = draw(numpy, place, 0) < 1 / (1 + numpy.exp(-risk))
    return x, label.astype(numpy.float32), place % numpy.uint64(10) == 9


def peer(asked, threads):
    import numpy
    import xgboost

    x, label, holdout = table(numpy, asked.rows, asked.fields)
    parameters = {
        "objective": "binary:logistic", "tree_method": "hist", "max_bin": asked.bins, "max_depth": asked.depth, "eta": 0.1,
        "lambda": 1, "min_child_weight": 5, "nthread": threads,
    }
    before = time.perf_counter()
    data = xgboost.QuantileDMatrix(x[~holdout], label[~holdout], max_bin=asked.bins, nthread=threads)
    binning = time.perf_counter() - before
    # The first round finishes what was put off; it is not counted for XGBoost.
    xgboost.train(parameters, data, 1)
    before = time.perf_counter()
    booster = xgboost.train(parameters, data, asked.trees)
    seconds = time.perf_counter() - before
    margins = booster.inplace_predict(x[holdout])
    order = numpy.argsort(margins, kind="stable")
    ranks = numpy.empty(len(order))
    ranks[order] = numpy.arange(1, len(order) + 1)
    bad = label[holdout] == 1
    auc = (ranks[bad].sum() - bad.sum() * (bad.sum() + 1) / 2) / (bad.sum() * (~bad).sum())
    return {"seconds": seconds, "binning_s": binning, "auc": float(auc), "version": xgboost.__version__}


def own(asked, program):
    names = ("rows", "fields", "bins", "trees", "depth")
    flags = [text for name in names for text in (f"--{name}", str(getattr(asked, name)))]
    return json.loads(subprocess.run([program, "bench", "training", *flags, "--json"], check=True, capture_output=True).stdout)


def main():
    asked = arguments()
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True)
    program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "tallystick"
    try:
        import numpy  # noqa: F401
        import xgboost  # noqa: F401
        with_peer = True
    except ImportError as error:
        print(f"SKIPPED the peer: {error} (pip install xgboost==3.2.0 numpy)", file=sys.stderr)
        with_peer = False
    ours, theirs = [], []
    for _ in range(asked.runs):
        ours.append(own(asked, program))
        print(json.dumps({"tallystick": ours[-1]}))
        if with_peer:
            # In a process of its own, as ours is.
            code = "import json, sys; sys.path.insert(0, sys.argv.pop(1)); import training as t; " \
                "threads = int(sys.argv.pop(1)); print(json.dumps(t.peer(t.arguments(), threads)))"
            command = [sys.executable, "-c", code, str(ROOT / "benches"), str(ours[-1]["threads"]), *sys.argv[1:]]
            theirs.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
            print(json.dumps({"xgboost": theirs[-1]}))
    median = lambda runs, key: statistics.median(run[key] for run in runs)
    floor, mine = median(ours, "floor_s"), median(ours, "seconds")
    print(f"tallystick: {mine:.2f} s (additions alone {floor:.2f}), binning {median(ours, 'binning_s'):.2f} s, "
          f"AUC {ours[0]['auc']:.4f}, peak {ours[0]['peak_rss_mib']} MiB")
    if theirs:
        peer_s = median(theirs, "seconds")
        print(f"xgboost {theirs[0]['version']}: {peer_s:.2f} s, binning {median(theirs, 'binning_s'):.2f} s, "
              f"AUC {theirs[0]['auc']:.4f}; ratio {mine / peer_s:.2f}")


if __name__ == "__main__":
    main()
