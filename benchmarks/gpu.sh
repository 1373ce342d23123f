#!/usr/bin/env bash
# The paper's full length on a GPU, in slices that can be stopped and repeated (docs/gpu.md):
#     bash benchmarks/gpu.sh mnist DATA SECONDS OUT      Table 1's MNIST, 400 epochs: aim, then gan, aim-minus, ali, alice
#     bash benchmarks/gpu.sh cifar10 DATA SECONDS OUT    Table 1's CIFAR-10, 300 epochs, in the same order
#     bash benchmarks/gpu.sh faces DATA SECONDS OUT      celeba/aim, 300 epochs, on any folder of faces
#     bash benchmarks/gpu.sh best DATA SECONDS OUT       cifar10/aim beyond the paper
#     bash benchmarks/gpu.sh RECIPE DATA SECONDS OUT     one recipe; what follows is handed to `aimgan train`, in every job
# Trains for at most so many seconds in all (SIGINT saves the state), then copies what a reader needs to OUT/<run>. The runs
# themselves stay in runs/: repeat the command to go on. On another machine, set RESUME to an OUT of before. DEVICE is cuda
# unless it is set.
set -euo pipefail
if [ $# -lt 4 ]; then
  sed -n '2,10s/^# \?//p' "$0" >&2
  exit 1
fi
cd "$(dirname "$0")/.."
export PYTHONPATH=src:${PYTHONPATH:-}
job=$1 data=$2 seconds=$3 out=$4
shift 4
end=$(($(date +%s) + seconds))

# Convolutions of 64 x 64 images in TF32, channels last; MNIST's are small, and stay in float32.
fast=(--set precision=tf32 --set channels_last=true)
# Residual networks, a relativistic game with gradient penalties, averages of the weights (docs/images.md).
best=(--preset residual)

train() { # RUN RECIPE [FLAGS]: returns 1 where the time is up
  local run=$1 recipe=$2 left=$((end - $(date +%s))) code=0
  shift 2
  [ "$left" -gt 0 ] || return 1
  if [ -n "${RESUME:-}" ] && [ -e "$RESUME/$run" ] && [ ! -e "runs/$run" ]; then
    mkdir -p runs && cp -r "$RESUME/$run" "runs/$run"
  fi
  timeout -s INT "$left" "${PYTHON:-python3}" -m aimgan train "$recipe" --data "$data" --device "${DEVICE:-cuda}" \
    --output "runs/$run" "$@" || code=$?
  case $code in 0 | 124 | 130) ;; *) exit "$code" ;; esac # 124 and 130: stopped in time, with the state saved
  mkdir -p "$out/$run"
  for part in run.json metrics.jsonl evaluation.json report.md model figures checkpoints; do
    [ ! -e "runs/$run/$part" ] || { rm -rf "$out/$run/$part" && cp -r "runs/$run/$part" "$out/$run/"; }
  done
  [ "$code" -eq 0 ]
}

table1() { # DATA SET [FLAGS]
  local name=$1 objective
  shift
  for objective in aim gan aim-minus ali alice; do
    train "$name-$objective" "$name/$objective" "$@" || return 1
  done
}

case $job in
  mnist) table1 mnist "$@" ;;
  cifar10) table1 cifar10 "${fast[@]}" "$@" ;;
  faces) train celeba-aim celeba/aim "${fast[@]}" "$@" ;;
  best) train cifar10-best cifar10/aim "${fast[@]}" "${best[@]}" "$@" ;;
  */*) train "${job/\//-}" "$job" "$@" ;;
  *) echo "job $job; expected mnist, cifar10, faces, best or a recipe" >&2 && exit 1 ;;
esac || { echo "the time is up: repeat the command to go on" >&2; exit 0; }
