"""A run killed at random moments against the same run left alone: the models must have the same bytes.

    python benchmarks/kill.py --kills 10 --steps 3000 --seed 0

`aimgan train grid/aim` runs once undisturbed. Then the same command runs in another folder and is killed (SIGKILL) at
moments drawn uniformly over that running time, and repeated after each, till it ends. The time that a process needs to
start (Python, torch) is not counted, so that kills fall into training, checkpoints and the evaluation at the end.
Writes benchmarks/results/kill.json and .md.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import common

from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir


def command(given: argparse.Namespace, folder: Path) -> list[str]:
    every = f"--set=checkpoint_seconds={given.checkpoint_seconds}"
    return ["aimgan", "train", "grid/aim", f"--steps={given.steps}", f"--seed={given.seed}", every, "--device=cpu",
            f"--output={folder}"]  # fmt: skip


def start(words: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait():
        raise SystemExit(f"a run ended with exit code {process.returncode}")


def undisturbed(words: list[str], folder: Path) -> tuple[float, float]:
    """Run to the end, and return the seconds until the run's folder is there, and those after."""
    begun = time.monotonic()
    process = start(words)
    while process.poll() is None and not (folder / "run.json").exists():
        time.sleep(0.01)
    started = time.monotonic()
    finish(process)
    return started - begun, time.monotonic() - started


def killed(words: list[str], folder: Path, moments: list[float], startup: float) -> list[dict[str, Any]]:
    """Run to the end through all kills, and return what each of them left."""
    kills: list[dict[str, Any]] = []
    before = 0.0
    for moment in moments:
        process = start(words)
        try:
            process.wait(startup + moment - before)
            break  # it ended before it could be killed
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        run = RunDir(folder)
        saved = checkpoint.newest(run.checkpoints)
        rows = run.rows() if run.metrics.exists() else []
        kills.append({
            "moment": moment,
            "checkpoint": saved.step if saved else 0,
            "last_row": rows[-1]["step"] if rows else 0,
            "half_written": sorted(path.name for path in folder.rglob(".*")),
            "finishing": run.model.exists(),
        })  # fmt: skip
        print(kills[-1], flush=True)
        before = moment
    finish(start(words))
    return kills


def digests(folder: Path) -> dict[str, str]:
    files = [*sorted((folder / "model").iterdir()), folder / "evaluation.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows_but_for_speed(folder: Path) -> list[dict[str, Any]]:
    rows = RunDir(folder).rows()
    return [{name: value for name, value in row.items() if not name.endswith("_per_second")} for row in rows]


def measure(given: argparse.Namespace) -> dict[str, Any]:
    whole, broken = common.RUNS / "kill-whole", common.RUNS / "kill-broken"
    for folder in (whole, broken):
        shutil.rmtree(folder, ignore_errors=True)
    startup, running = undisturbed(command(given, whole), whole)
    draw = random.Random(given.seed)
    moments = sorted(draw.uniform(0, running) for _ in range(given.kills))
    kills = killed(command(given, broken), broken, moments, startup)
    return {
        "run": " ".join(command(given, Path("FOLDER"))),
        "seconds": {"starting": startup, "running": running},
        "moments": moments,
        "kills": kills,
        "sha256": {"undisturbed": digests(whole), "killed": digests(broken)},
        "equal": digests(whole) == digests(broken),
        "rows_equal": rows_but_for_speed(whole) == rows_but_for_speed(broken),
    }


def markdown(result: dict[str, Any]) -> str:
    rows = [(f"{kill['moment']:.1f}", f"{kill['checkpoint']:,}", f"{kill['last_row']:,}") for kill in result["kills"]]
    models = [f"{name}: `{files['model.safetensors']}`" for name, files in result["sha256"].items()]
    return (
        f"{common.origin(result)}. `{result['run']}` was killed (SIGKILL) at {len(rows)} moments drawn uniformly over "
        f"its {result['seconds']['running']:.0f} s and repeated each time.\n\n"
        + common.table(("killed after (s)", "newest checkpoint (step)", "newest row (step)"), rows)
        + f"\nmodel.safetensors, {models[0]}\n\n{models[1]}\n\n"
        f"All files equal: {result['equal']}; rows of metrics.jsonl equal but for the speed: {result['rows_equal']}.\n"
    )


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0, help="of the run, and of the moments")
    parser.add_argument("--checkpoint-seconds", type=float, default=0.5)
    parser.add_argument("--output", type=Path, default=common.RESULTS / "kill.json")
    given = parser.parse_args()
    result = common.about() | measure(given)
    common.write(given.output, result, markdown(result))
    if not (result["equal"] and result["rows_equal"]):
        sys.exit("the runs differ")


if __name__ == "__main__":
    main()
