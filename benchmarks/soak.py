"""An hour of training: memory stays flat, file descriptors and threads stay as many, the checkpoints can be read.

    python benchmarks/soak.py --minutes 60 [--run digits|images|leak] [--nice 19]

`aimgan train` runs in a process of its own, at a low priority and on one thread, with log rows, evaluations and
checkpoints as often as it can make them, and is sampled every 5 seconds from /proc. Then it gets SIGTERM, and its
checkpoints are read. Two windows are compared, minutes 10 to 30 and 40 to 60 of an hour, in proportion of another time:
the largest RSS may grow by 8 MiB, and descriptors and threads must be equal. `digits` has a terminal, with a live bar,
and averages of the weights; `images` a folder of images and convolutions; `leak` is digits with a row and a file kept
at each log row: it must fail. Adds the run to benchmarks/results/soak.json, .md and docs/figures/soak.png.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from matplotlib.ticker import MaxNLocator
from PIL import Image

from aimgan.figures.style import LABEL, PALETTE, page, panel, plain
from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir, environment

HERE = Path(__file__).parent
DEFAULT = HERE / "results" / "soak.json"
FIGURE = HERE.parent / "docs" / "figures" / "soak.png"
RUNS = ("digits", "images", "leak")
EVERY, BOUND = 5.0, 8.0  # seconds between samples; MiB
EARLY, LATE = (1 / 6, 1 / 2), (2 / 3, 1.0)  # of the run's time
OFTEN = ["--steps=1000000000", "--set=checkpoint_seconds=3"]
MAIN = "from aimgan.cli import main; main()"
LEAK = f"""
from aimgan.training.run_dir import RunDir
kept, append = [], RunDir.append
def leaking(run, row):
    append(run, row)
    kept.append(bytearray(2**17))
    if len(kept) < 500: kept.append(run.metrics.open())
RunDir.append = leaking
{MAIN}"""
IMAGES = 600


def arguments_of(run: str, data: Path) -> list[str]:
    """What follows `aimgan train`."""
    if run == "images":
        shape = ["--size=32", "--set=networks.width=64", "--set=batch_size=16", "--set=features=off"]
        return ["folder/aim", f"--data={data}", *shape, "--set=evaluate_every=3", *OFTEN]
    return ["digits/aim", "--set=evaluate_every=40", *OFTEN]


def paint(folder: Path) -> None:
    """Write images of two random colours that blend into each other."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for k in range(IMAGES):
        ends = torch.rand(2, 3, 1, 1, generator=generator)
        x = torch.lerp(ends[0], ends[1], torch.linspace(0, 1, 32).view(1, 1, 32)).expand(3, 32, 32)
        Image.fromarray((255 * x).byte().permute(1, 2, 0).numpy()).save(folder / f"{k}.png")


def start(run: str, folder: Path, log: Path, nice: int) -> subprocess.Popen:
    """Start the command, its output going to `log`: through a terminal, but for `images`."""
    data = folder.with_name("soak-data")
    if run == "images" and not data.exists():
        paint(data)
    code = ["-m", "aimgan"] if run != "leak" else ["-c", LEAK]
    command = ["nice", "-n", str(nice), sys.executable, *code, "train", *arguments_of(run, data), "--device=cpu"]
    command = [*command, f"--output={folder}"]
    threads = os.environ | {"OMP_NUM_THREADS": "1", "TERM": "xterm-256color"}
    if run == "images":
        return subprocess.Popen(command, env=threads, stdout=log.open("wb"), stderr=subprocess.STDOUT)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, env=threads, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    threading.Thread(target=drain, args=(ours, log), daemon=True).start()
    return process


def drain(terminal: int, log: Path) -> None:
    """Read a terminal till its process ends (Linux then answers with an error), and keep the latest of it."""
    with suppress(OSError):
        while data := os.read(terminal, 65_536):
            log.write_bytes(data)


def sample(pid: int, folder: Path) -> dict[str, float]:
    """What the process holds now: MiB, and how many descriptors and threads. Children are none of this command's."""
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    rollup = dict(line.split(":", 1) for line in (proc / "smaps_rollup").read_text().splitlines()[1:])
    mib = {name: int(status[key].split()[0]) / 1024 for name, key in MEMORY.items()}
    held = [path.stat().st_size for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    return {
        **mib,
        "pss": int(rollup["Pss"].split()[0]) / 1024,
        "threads": int(status["Threads"]),
        "descriptors": len(os.listdir(proc / "fd")),
        "folder": sum(held) / 2**20,
    }


MEMORY = {"rss": "VmRSS", "peak": "VmHWM", "anonymous": "RssAnon"}


def watched(process: subprocess.Popen, folder: Path, minutes: float) -> tuple[list[dict], set[str]]:
    """Return the samples of so many minutes, and the names of the checkpoints that were seen. Then stop the run."""
    begun, samples, seen = time.monotonic(), [], set()
    while (now := time.monotonic() - begun) < 60 * minutes:
        if process.poll() is not None:
            raise SystemExit(f"the run ended by itself, exit code {process.returncode}: see {folder}.log")
        with suppress(FileNotFoundError):  # a file that was replaced while the folder was read
            samples.append({"minute": round(now / 60, 3), **sample(process.pid, folder)})
            seen |= {path.name for path in (folder / "checkpoints").glob("0*")}
        time.sleep(EVERY)
    process.send_signal(signal.SIGTERM)
    process.wait(600)
    return samples, seen


def window(samples: list[dict], minutes: float, part: tuple[float, float]) -> list[dict]:
    low, high = (minutes * share for share in part)
    return [s for s in samples if low <= s["minute"] <= high]


def judged(samples: list[dict], minutes: float) -> dict:
    """The two windows' numbers. A file that is being written counts as a descriptor, so of these the fewest count."""
    early, late = (window(samples, minutes, part) for part in (EARLY, LATE))
    return {
        "rss": [max(s["rss"] for s in part) for part in (early, late)],
        "anonymous": [max(s["anonymous"] for s in part) for part in (early, late)],
        "descriptors": [min(s["descriptors"] for s in part) for part in (early, late)],
        "usual_descriptors": [statistics.median_low(s["descriptors"] for s in part) for part in (early, late)],
        "threads": [max(s["threads"] for s in part) for part in (early, late)],
        "folder": [max(s["folder"] for s in part) for part in (early, late)],
    }


def verdicts(made: dict) -> dict[str, bool]:
    seen = made["windows"]
    return {
        f"max RSS of the last third - of the early window <= {BOUND:g} MiB": seen["rss"][1] - seen["rss"][0] <= BOUND,
        "descriptors equal": len({*seen["descriptors"], *seen["usual_descriptors"]}) == 1,
        "threads equal": len({*seen["threads"]}) == 1,
        "exit code 130, with the state saved": made["exit_code"] == 130,
        "the newest checkpoint is whole, and metrics.jsonl ends before it": made["checkpoint"] >= made["last_row"] > 0,
    }


def newest(folder: Path) -> int:
    """Step of the newest checkpoint; one that is not whole is an error here."""
    with warnings.catch_warnings(action="error"):
        found = checkpoint.newest(folder)
    return found.step if found else 0


def measure(run: str, minutes: float, nice: int) -> dict:
    folder = HERE / "runs" / f"soak-{run}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    process = start(run, folder, Path(f"{folder}.log"), nice)
    try:
        samples, seen = watched(process, folder, minutes)
    finally:
        process.kill()  # where something above failed: an ended process is left in peace
        process.wait()
    rows = RunDir(folder).rows()
    made = {
        "command": " ".join(["python", "benchmarks/soak.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "run": " ".join(["aimgan", "train", *arguments_of(run, Path("DATA"))]),
        "environment": environment() | {"threads": 1},
        "minutes": minutes,
        "exit_code": process.returncode,
        "checkpoint": newest(folder / "checkpoints"),
        "last_row": rows[-1]["step"],
        "log_rows": sum("lr" in row for row in rows),
        "evaluations": sum("epoch" in row for row in rows),
        "checkpoints_seen": len(seen),
        "windows": judged(samples, minutes),
        "samples": [{k: round(v, 3) for k, v in s.items()} for s in samples],
    }
    return made | {"verdicts": verdicts(made)}


def markdown(results: dict[str, dict]) -> str:
    machine = next(iter(results.values()))["environment"]
    lines = [
        f"{machine['processor']}, {machine['threads']} thread, torch {machine['torch']}, "
        f"Python {machine['python']}; a sample every {EVERY:g} s. Early and late are the windows from "
        f"{EARLY[0]:.0%} to {EARLY[1]:.0%} and from {LATE[0]:.0%} to {LATE[1]:.0%} of the time. RSS: the largest of a "
        "window. Descriptors: the fewest (usual) of a window, since a file that is being written is one more.",
        "",
        "| run | minutes | steps | log rows | evaluations | checkpoints | RSS early, MiB | RSS late | growth "
        "| descriptors early | late | threads | folder late, MiB | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run, made in results.items():
        seen = made["windows"]
        (early, late), (fewest, last) = seen["rss"], seen["descriptors"]
        usual, now = seen["usual_descriptors"]
        lines.append(
            f"| {run} | {made['minutes']:g} | {made['checkpoint']:,} | {made['log_rows']:,} | {made['evaluations']:,} "
            f"| {made['checkpoints_seen']:,} | {early:.1f} | {late:.1f} | {late - early:+.1f} | {fewest} ({usual}) "
            f"| {last} ({now}) | {seen['threads'][1]} | {seen['folder'][1]:.1f} | {outcome(run, made['verdicts'])} |"
        )
    told = [f"- {run}: `{made['command']}`, {made['date']}: `{made['run']}`" for run, made in results.items()]
    return "\n".join([*lines, "", *told]) + "\n"


def outcome(run: str, verdict: dict[str, bool]) -> str:
    failed = [claim for claim, held in verdict.items() if not held]
    return ("found: " if run == "leak" else "FAILS: ") + "; ".join(failed) if failed else "holds"


def draw(results: dict[str, dict], target: Path) -> None:
    figure = page(7.0, 2.9, "Windows that are compared: shaded. leak: the same command with memory and files kept.")
    for left, what, name in ((0.65, "rss", "RSS, MiB"), (4.25, "descriptors", "file descriptors")):
        axes = panel(figure, left, 0.2, 2.55, 2.2)
        for colour, (run, made) in zip(PALETTE, results.items(), strict=False):
            x = [s["minute"] / made["minutes"] for s in made["samples"]]
            y = [s[what] for s in made["samples"]]
            axes.plot(x, y, color=colour, linewidth=1.0, label=f"{run}, {made['minutes']:g} min")
        for low, high in (EARLY, LATE):
            axes.axvspan(low, high, color="0.92", zorder=0)
        plain(axes, "share of the run's time", name)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend(fontsize=LABEL - 2, frameon=False)
    figure.savefig(target, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--run", choices=RUNS, default="digits")
    parser.add_argument("--nice", type=int, default=19, help="beside busy cores 19 gets a hundredth of one")
    parser.add_argument("--output", type=Path, default=DEFAULT)
    given = parser.parse_args()
    made = measure(given.run, given.minutes, given.nice)
    before = json.loads(given.output.read_text()) if given.output.exists() else {}
    results = {run: found for run in RUNS if (found := made if run == given.run else before.get(run))}
    given.output.write_text(json.dumps(results) + "\n")
    given.output.with_suffix(".md").write_text(markdown(results))
    draw(results, FIGURE if given.output == DEFAULT else given.output.with_suffix(".png"))
    print(f"{given.run}: {outcome(given.run, made['verdicts'])}; wrote {given.output}")
    if (given.run == "leak") == all(made["verdicts"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
