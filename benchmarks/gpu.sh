#!/usr/bin/env bash
# The paper's full length on a GPU, in slices that can be stopped and repeated:
#     bash benchmarks/gpu.sh mnist/aim PATH_TO_MNIST 570 OUT        (400 epochs; then cifar10/aim, 300 epochs)
# trains for at most so many seconds (SIGINT saves the state), then copies what a reader needs to OUT. The run itself stays in
# runs/; set RESUME to an OUT of before to go on from its checkpoint on another machine.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=src:${PYTHONPATH:-}
recipe=$1 data=$2 seconds=$3 out=$4
run=runs/${recipe/\//-}
[ -z "${RESUME:-}" ] || { mkdir -p runs && cp -r "$RESUME" "$run"; }
code=0
timeout -s INT "$seconds" python3 -m aimgan train "$recipe" --data "$data" --device "${DEVICE:-auto}" --output "$run" "${@:5}" || code=$?
case $code in 0 | 124 | 130) ;; *) exit "$code" ;; esac # 124 and 130: stopped in time, with the state saved
mkdir -p "$out"
for part in run.json metrics.jsonl evaluation.json report.md model figures checkpoints; do
  [ ! -e "$run/$part" ] || cp -r "$run/$part" "$out/"
done
