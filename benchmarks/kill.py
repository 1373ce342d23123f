"""A run killed at random moments against the same run left alone: the models must have the same bytes.

    python benchmarks/kill.py --kills 10 --steps 3000 --seed 0

`aimgan train grid/aim` runs once undisturbed. Then the same command runs in another folder and is killed (SIGKILL) at
moments drawn uniformly over that running time, and repeated after each, till it ends. The time that a process needs to
start (Python, torch) is not counted, so that kills fall into training, checkpoints and the evaluation at the end.
Writes benchmarks/results/kill.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir

HERE = Path(__file__).parent


def command(arguments: argparse.Namespace, folder: Path) -> list[str]:
    length = (f"--steps={arguments.steps}", f"--seed={arguments.seed}")
    every = f"--set=checkpoint_seconds={arguments.checkpoint_seconds}"
    return ["aimgan", "train", "grid/aim", *length, every, "--device=cpu", f"--output={folder}"]


def start(shown: list[str]) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", *shown], stdout=subprocess.DEVNULL)


def finish(process: subprocess.Popen, folder: Path) -> None:
    if process.wait():
        raise SystemExit(f"exit code {process.returncode} in {folder}")


def undisturbed(shown: list[str], folder: Path) -> tuple[float, float]:
    """Run to the end, and return the seconds until there is a run, and those after."""
    begun = time.monotonic()
    process = start(shown)
    while process.poll() is None and not (folder / "run.json").exists():
        time.sleep(0.01)
    started = time.monotonic()
    finish(process, folder)
    return started - begun, time.monotonic() - started


def killed(shown: list[str], folder: Path, moments: list[float], startup: float) -> list[dict]:
    """Run to the end through all kills, and return what each of them met."""
    met, before = [], 0.0
    for moment in moments:
        process = start(shown)
        try:
            process.wait(startup + moment - before)
            break  # it has ended before it could be killed
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        run = RunDir(folder)
        rows = (
            [line for line in run.metrics.read_text().splitlines(True) if line.endswith("\n")]
            if run.metrics.exists()
            else []
        )
        saved = checkpoint.newest(run.checkpoints)
        left = sorted(path.name for path in folder.rglob(".*"))
        met.append({
            "moment": moment, "checkpoint": saved.step if saved else 0,
            "last_row": json.loads(rows[-1])["step"] if rows else 0, "half_written": left,
            "finishing": run.model.exists(),
        })  # fmt: skip
        print(met[-1], flush=True)
        before = moment
    finish(start(shown), folder)
    return met


def digests(folder: Path) -> dict[str, str]:
    files = [*sorted((folder / "model").iterdir()), folder / "evaluation.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def without_speed(folder: Path) -> list[dict]:
    return [row | {"steps_per_second": None} for row in RunDir(folder).rows()]


def markdown(result: dict) -> str:
    rows = [f"| {kill['moment']:.1f} | {kill['checkpoint']:,} | {kill['last_row']:,} |" for kill in result["kills"]]
    model = {name: found["model.safetensors"] for name, found in result["sha256"].items()}
    machine = result["environment"]
    return (
        f"`{result['command']}`: {result['date']}, {machine['processor']}, {machine['threads']} threads, torch "
        f"{machine['torch']}. `{result['run']}` was killed (SIGKILL) at {len(rows)} moments drawn uniformly over its "
        f"{result['seconds']['running']:.0f} s and repeated each time.\n\n"
        "| killed after (s) | newest checkpoint (step) | newest row (step) |\n| --- | --- | --- |\n"
        + "\n".join(rows)
        + f"\n\nmodel.safetensors, undisturbed: `{model['undisturbed']}`\n\nkilled: `{model['killed']}`\n\n"
        f"All files equal: {result['equal']}; rows of metrics.jsonl equal but for the speed: {result['rows_equal']}.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0, help="of the run, and of the moments")
    parser.add_argument("--checkpoint-seconds", type=float, default=0.5)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "kill.json")
    arguments = parser.parse_args()
    whole, broken = (HERE / "runs" / f"kill-{name}" for name in ("whole", "broken"))
    for folder in (whole, broken):
        shutil.rmtree(folder, ignore_errors=True)

    startup, running = undisturbed(command(arguments, whole), whole)
    draw = random.Random(arguments.seed)
    moments = sorted(draw.uniform(0, running) for _ in range(arguments.kills))
    met = killed(command(arguments, broken), broken, moments, startup)
    result = {
        "command": " ".join(["python", "benchmarks/kill.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "run": " ".join(command(arguments, Path("FOLDER"))),
        "seconds": {"starting": startup, "running": running},
        "moments": moments,
        "kills": met,
        "sha256": {"undisturbed": digests(whole), "killed": digests(broken)},
        "equal": digests(whole) == digests(broken),
        "rows_equal": without_speed(whole) == without_speed(broken),
        "environment": RunDir(whole).read()["environment"],
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    arguments.output.with_suffix(".md").write_text(markdown(result))
    print(f"{len(met)} kills; equal: {result['equal']}; rows equal: {result['rows_equal']}; wrote {arguments.output}")
    if not (result["equal"] and result["rows_equal"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
