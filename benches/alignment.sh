#!/bin/sh
# Alignment beside SecretFlow's PSI, on the same files in one run: both sides' processor seconds, medians, ratios.
#
#   benches/alignment.sh [N] [RUNS]
#
# The peer runs where PEER_PYTHON names a Python that has `spu` and PEER_SCRIPTS a folder with `bench_spu.py`; otherwise
# this says so and measures Tallystick alone.
set -eu
cd "$(dirname "$0")/.."
n=${1:-1048576}
runs=${2:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program=${CARGO_TARGET_DIR:-target}/release/tallystick
cargo build --release --locked --quiet

for _ in $(seq "$runs"); do
    "$program" bench alignment --rows-platform "$n" --rows-bank "$n" --engine vole --json --keep "$work" >> "$work/own"
done
cat "$work/own"

if ! "${PEER_PYTHON:-/nonexistent}" -c 'import spu' 2> "$work/why"; then
    echo "SKIPPED the peer: PEER_PYTHON names no Python with spu (pip install spu==0.9.5)" >&2
    exit 0
fi
mv "$work/platform.csv" "$work/a_${n}_${n}.csv"
mv "$work/bank.csv" "$work/b_${n}_${n}.csv"
for protocol in rr22 ecdh; do
    for _ in $(seq "$runs"); do
        "$PEER_PYTHON" "$PEER_SCRIPTS/bench_spu.py" --proto "$protocol" --runs 1 "$work" "$n" "$n" | tail -1 >> "$work/$protocol"
    done
done
"$PEER_PYTHON" - "$work" <<'PYTHON'
import json, statistics, sys
lines = lambda name: [json.loads(line) for line in open(f"{sys.argv[1]}/{name}")]
own = lines("own")
cpu = statistics.median(r["cpu_s"]["platform"] + r["cpu_s"]["bank"] for r in own)
wall = statistics.median(r["wall_s"] for r in own)
bank, platform = (statistics.median(r["peak_rss_mib"][s] for r in own) for s in ("bank", "platform"))
print(f"tallystick vole: cpu {cpu:.2f} s, wall {wall:.2f} s, {own[0]['bytes'] / 1e6:.1f} MB, peak {bank} + {platform} MiB")
for name in ("rr22", "ecdh"):
    peer = lines(name)
    theirs = statistics.median(r["cpu_a"] + r["cpu_b"] for r in peer)
    theirs_wall = statistics.median(r["wall"] for r in peer)
    print(f"spu {name}: cpu {theirs:.2f} s, wall {theirs_wall:.2f} s, {peer[0]['lo_mb']:.1f} MB, "
          f"peak {peer[0]['rss_a']:.0f} + {peer[0]['rss_b']:.0f} MB; ratio of cpu {cpu / theirs:.2f}, of wall {wall / theirs_wall:.2f}")
PYTHON
