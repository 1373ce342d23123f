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
from typing import Any

import common
import torch
from matplotlib.ticker import MaxNLocator
from PIL import Image

from aimgan.figures.style import LABEL, PALETTE, page, panel, plain
from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir

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
Sample = dict[str, float]


def arguments_of(run: str, data: Path) -> list[str]:
    """Return what follows `aimgan train`."""
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


def start(run: str, folder: Path, log: Path, nice: int) -> subprocess.Popen[bytes]:
    """Start the command, its output going to `log`: through a terminal, but for `images`."""
    data = folder.with_name("soak-data")
    if run == "images" and not data.exists():
        paint(data)
    code = ["-c", LEAK] if run == "leak" else ["-m", "aimgan"]
    words = [*code, "train", *arguments_of(run, data), "--device=cpu", f"--output={folder}"]
    command = ["nice", "-n", str(nice), sys.executable, *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TERM": "xterm-256color"}
    if run == "images":
        return subprocess.Popen(command, env=environment, stdout=log.open("wb"), stderr=subprocess.STDOUT)
    ours, theirs = pty.openpty()
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **ends)
    os.close(theirs)
    threading.Thread(target=drain, args=(ours, log), daemon=True).start()
    return process


def drain(terminal: int, log: Path) -> None:
    """Read a terminal till its process ends (Linux then answers with an error), and keep the latest of it."""
    with suppress(OSError):
        while data := os.read(terminal, 65_536):
            log.write_bytes(data)


def fields(path: Path) -> dict[str, int]:
    """Return the numbers of a file of /proc: memory in KiB, counts as they are."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if value.split()[:1] and value.split()[0].isdigit():
            found[name] = int(value.split()[0])
    return found


def sample(pid: int, folder: Path) -> Sample:
    """Return what the process holds now: MiB, and how many descriptors and threads. It has no child processes."""
    proc = Path(f"/proc/{pid}")
    status = fields(proc / "status")
    return {
        "rss": status["VmRSS"] / 1024,
        "peak": status["VmHWM"] / 1024,
        "anonymous": status["RssAnon"] / 1024,
        "pss": fields(proc / "smaps_rollup")["Pss"] / 1024,
        "threads": status["Threads"],
        "descriptors": len(os.listdir(proc / "fd")),
        "folder": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20,
    }


def watched(process: subprocess.Popen[bytes], folder: Path, minutes: float) -> tuple[list[Sample], set[str]]:
    """Return the samples of so many minutes, and the names of the checkpoints that were seen. Then stop the run."""
    begun, samples, seen = time.monotonic(), [], set()
    while (now := time.monotonic() - begun) < 60 * minutes:
        if process.poll() is not None:
            raise SystemExit(f"the run ended by itself, exit code {process.returncode}: see {folder}.log")
        with suppress(FileNotFoundError):  # a file that was replaced while the folder was read
            samples.append({"minute": now / 60, **sample(process.pid, folder)})
            seen |= {path.name for path in (folder / "checkpoints").glob("0*")}
        time.sleep(EVERY)
    process.send_signal(signal.SIGTERM)
    process.wait(600)
    return samples, seen


def windows(samples: list[Sample], minutes: float) -> dict[str, list[float]]:
    """Return the numbers of the two windows. A file that is being written counts as a descriptor: take the fewest."""
    parts = []
    for low, high in (EARLY, LATE):
        parts.append([s for s in samples if low <= s["minute"] / minutes <= high])
    found = {name: [max(s[name] for s in part) for part in parts] for name in ("rss", "anonymous", "threads", "folder")}
    found["descriptors"] = [min(s["descriptors"] for s in part) for part in parts]
    found["usual_descriptors"] = [statistics.median_low(s["descriptors"] for s in part) for part in parts]
    return found


def verdicts(made: dict[str, Any]) -> dict[str, bool]:
    seen = made["windows"]
    return {
        f"max RSS of the last third - of the early window <= {BOUND:g} MiB": seen["rss"][1] - seen["rss"][0] <= BOUND,
        "descriptors equal": len({*seen["descriptors"], *seen["usual_descriptors"]}) == 1,
        "threads equal": len({*seen["threads"]}) == 1,
        "exit code 130, with the state saved": made["exit_code"] == 130,
        "the newest checkpoint is whole, and metrics.jsonl ends before it": made["checkpoint"] >= made["last_row"] > 0,
    }


def measure(run: str, minutes: float, nice: int) -> dict[str, Any]:
    folder = common.RUNS / f"soak-{run}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    process = start(run, folder, Path(f"{folder}.log"), nice)
    try:
        samples, seen = watched(process, folder, minutes)
    finally:
        process.kill()  # does nothing to a process that has ended
        process.wait()
    rows = RunDir(folder).rows()
    with warnings.catch_warnings(action="error"):  # a checkpoint that is not whole is an error here
        newest = checkpoint.newest(folder / "checkpoints")
    made = {
        **common.about(),
        "run": " ".join(["aimgan", "train", *arguments_of(run, Path("DATA"))]),
        "minutes": minutes,
        "exit_code": process.returncode,
        "checkpoint": newest.step if newest else 0,
        "last_row": rows[-1]["step"],
        "log_rows": sum("lr" in row for row in rows),
        "evaluations": sum("epoch" in row for row in rows),
        "checkpoints_seen": len(seen),
        "windows": windows(samples, minutes),
        "samples": [{name: round(value, 3) for name, value in s.items()} for s in samples],
    }
    return made | {"verdicts": verdicts(made)}


def outcome(run: str, verdict: dict[str, bool]) -> str:
    failed = [claim for claim, held in verdict.items() if not held]
    if not failed:
        return "holds"
    return ("found: " if run == "leak" else "FAILS: ") + "; ".join(failed)


COLUMNS = ("run", "minutes", "steps", "log rows", "evaluations", "checkpoints", "RSS early, MiB", "RSS late", "growth",
           "descriptors early", "late", "threads", "folder late, MiB", "verdict")  # fmt: skip


def markdown(results: dict[str, dict[str, Any]]) -> str:
    machine = next(iter(results.values()))["environment"]
    rows = []
    for run, made in results.items():
        seen = made["windows"]
        early, late = seen["rss"]
        descriptors = zip(seen["descriptors"], seen["usual_descriptors"], strict=True)
        counts = [f"{made[name]:,}" for name in ("checkpoint", "log_rows", "evaluations", "checkpoints_seen")]
        memory = [f"{early:.1f}", f"{late:.1f}", f"{late - early:+.1f}"]
        held = [f"{fewest} ({usual})" for fewest, usual in descriptors]
        last = [seen["threads"][1], f"{seen['folder'][1]:.1f}", outcome(run, made["verdicts"])]
        rows.append([run, f"{made['minutes']:g}", *counts, *memory, *held, *last])
    commands = [f"- {run}: `{made['command']}`, {made['date']}: `{made['run']}`\n" for run, made in results.items()]
    return (
        f"{machine['processor']}, one thread, torch {machine['torch']}, Python {machine['python']}; a sample every "
        f"{EVERY:g} s. Early and late are the windows from {EARLY[0]:.0%} to {EARLY[1]:.0%} and from {LATE[0]:.0%} to "
        f"{LATE[1]:.0%} of the time. RSS: the largest of a window. Descriptors: the fewest (usual) of a window, since "
        f"a file that is being written is one more.\n\n{common.table(COLUMNS, rows)}\n{''.join(commands)}"
    )


def draw(results: dict[str, dict[str, Any]], target: Path) -> None:
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
    parser = common.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--run", choices=RUNS, default="digits")
    parser.add_argument("--nice", type=int, default=19, help="of the run")
    parser.add_argument("--output", type=Path, default=common.RESULTS / "soak.json")
    given = parser.parse_args()
    made = measure(given.run, given.minutes, given.nice)
    found = common.kept(given.output) | {given.run: made}
    results = {run: found[run] for run in RUNS if run in found}
    common.write(given.output, results, markdown(results))
    figures = common.FIGURES if given.output.parent == common.RESULTS else given.output.parent
    draw(results, figures / "soak.png")
    if (given.run == "leak") == all(made["verdicts"].values()):
        sys.exit(f"{given.run}: {outcome(given.run, made['verdicts'])}")


if __name__ == "__main__":
    main()
