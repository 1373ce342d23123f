"""Training under faults: killed, damaged, refused. Each run must end in the bytes of the one left alone, or one line.

    nice -n 10 python benchmarks/faults.py [--sample]

Runs `aimgan train` of tiny recipes in forked children of one process (torch is imported once), and harms them at
system calls chosen by --seed (tests/helpers/injection.c), then runs the same command again without harm. Some more are
killed as processes of their own, as a user's are. `--sample` is what the tests run. Writes
benchmarks/results/faults.json, with every trial, and faults.md. docs/faults.md says what is promised.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import common
import injection
import numpy as np
import trials
from injection import Fault
from PIL import Image

ENOSPC, EIO, EROFS = 28, 5, 30
FULL = {"steps": 72, "checkpoint": 80, "other": 36, "corrupt": 112, "full": 16, "tmpfs": 8, "few": 4, "commands": 24}
SAMPLE = {"steps": 1, "checkpoint": 2, "other": 1, "corrupt": 3, "full": 1, "tmpfs": 1, "few": 1, "commands": 0}


def kills(run: trials.Run, size: dict[str, int], draw: random.Random) -> Iterator[trials.Trial]:
    inside = [k for k, call in enumerate(run.calls) if " checkpoints" in call]
    outside = [k for k in range(len(run.calls)) if k not in set(inside)]
    for _ in range(size["steps"]):
        yield trials.kill_in_step(run, draw.randrange(run.steps), draw.randrange(3_000))
    for where, name in ((inside, "checkpoint"), (outside, "other")):
        for _ in range(size[name]):
            yield trials.kill(run, draw.choice("kh"), draw.choice(where))


def corruptions(run: trials.Run, n: int, draw: random.Random) -> Iterator[trials.Trial]:
    base = run.scratch / "base"
    commits = [k for k, call in enumerate(run.calls) if call.startswith("rename checkpoints/0")]
    for k in range(n):
        if k % 20 == 0:  # another moment, after the second checkpoint or later
            files = trials.killed_at(run, draw.choice(commits[1:]) + 2, base)
        damages = [*trials.DAMAGE, "removed"]
        chosen = [draw.choice(files)]
        if k % 10 == 9:  # no checkpoint is whole
            chosen = [name for name in files if name.endswith(draw.choice((".safetensors", "state.json")))]
        yield trials.corrupt(run, base, [(name, draw.choice(damages)) for name in chosen], draw)


def refusals(run: trials.Run, size: dict[str, int], draw: random.Random) -> Iterator[trials.Trial]:
    calls = range(len(run.calls))
    for _ in range(size["full"]):
        yield trials.refuse(run, Fault("f", draw.choice(calls), ENOSPC), "disk full")
    for _ in range(size["few"]):
        yield trials.refuse(run, Fault("e", draw.choice(calls), EIO), "EIO")
        yield trials.refuse(run, Fault("r", draw.choice(calls), EROFS), "EROFS")
    if trials.can_mount(run.scratch):
        for _ in range(size["tmpfs"]):
            yield trials.fill(run, draw.randrange(16, 400, 4))
        opens = [k for k, call in enumerate(run.calls) if call.startswith("mkdir checkpoints/")]
        for _ in range(size["few"]):
            yield trials.read_only(run, draw.choice(opens))


def accidents(run: trials.Run, size: dict[str, int], draw: random.Random) -> Iterator[trials.Trial]:
    calls = range(len(run.calls))
    yield trials.clock_set_back(run)
    for _ in range(size["few"]):
        yield trials.terminate_twice(run, draw.choice(calls))
        yield trials.short_writes(run, draw.choice(calls))
        yield trials.two_at_once(run, draw.choice(calls[2:]))
        training = [k for k, call in enumerate(run.calls) if "checkpoints" in call]
        yield trials.removed_output(run, draw.choice(training))


def lost_data(n: int, scratch: Path, draw: random.Random) -> Iterator[trials.Trial]:
    data = scratch / "images"
    data.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3), np.uint8)
    for k, image in enumerate(pixels):
        Image.fromarray(image).save(data / f"{k}.png")
    words = ("train", "folder/aim", f"--data={data}", "--size=16", "--steps=3", "--set=batch_size=8")
    run = trials.Run((*words, *trials.TINY[:4], "--set=networks.width=16", "--set=samples=100"), scratch)
    second = [k for k, call in enumerate(run.calls) if "000000002" in call]
    for _ in range(n):
        yield from trials.data_removed(run, draw.choice(second), data)


def in_place(scratch: Path, n: int, draw: random.Random) -> list[trials.Trial]:
    """Kill a writer that writes in place: it must fail."""
    run = trials.Run(trials.COMMANDS["grid/aim"], scratch, trials.InPlace.install)
    inside = [k for k, call in enumerate(run.calls) if " checkpoints/0/" in call][4:]
    return [trials.kill(run, draw.choice("kh"), draw.choice(inside)) for _ in range(n)]


def commands(n: int, scratch: Path, draw: random.Random) -> Iterator[trials.Trial]:
    """Kill the command as a process of its own, again and again in one folder, and then let it end."""
    words = ("train", "grid/aim", "--steps=60", "--set=batch_size=16", *trials.TINY)
    whole, broken = scratch / "whole", scratch / "broken"

    def start(folder: Path, at: int, kind: str) -> tuple[int, str, str]:
        report = scratch / "report"
        report.write_text("")
        fault = {"FAULT_FOLDER": str(folder), "FAULT_AT": str(at), "FAULT_KIND": kind, "FAULT_REPORT": str(report)}
        done = subprocess.run(
            [sys.executable, "-m", "aimgan", *words, f"--output={folder}"], env={**os.environ, **fault},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr, report.read_text()

    assert injection.LIBRARY in os.environ
    if start(whole, -1, "k")[0]:
        raise SystemExit("the command left alone failed")
    state = trials.state_of(whole)
    met = [start(broken, draw.randrange(4, 30), draw.choice("kh")) for _ in range(n)]
    code, errors, _ = start(broken, -1, "k")
    verdict = f"lost: exit {code}: {errors[-300:]}" if code else trials.difference(state, broken) or trials.SAME
    for code, errors, call in met:
        own = verdict if code == -9 else f"lost: not harmed, exit {code}: {errors[-300:]}"
        yield trials.Trial("kill of a command", "SIGKILL", call.strip(), own)


def every(size: dict[str, int], scratch: Path, seed: int) -> Iterator[tuple[str, trials.Trial]]:
    parts = []
    for name, words in trials.COMMANDS.items():
        if size is SAMPLE and name != "grid/aim":
            continue
        draw = random.Random(f"{seed} {name}")
        quarters = 3 if name == "grid/aim" else 1  # it is the quicker one
        share = {key: n if size is SAMPLE else n * quarters // 4 for key, n in size.items()}
        folder = scratch / name.split("/")[0]
        folder.mkdir()
        run = trials.Run(words, folder)
        made = (kills(run, share, draw), corruptions(run, share["corrupt"], draw), refusals(run, share, draw))
        parts += [(name, part) for part in (*made, accidents(run, share, draw))]
    yield from in_turn(parts)
    if size is not SAMPLE:
        draw = random.Random(f"{seed} others")
        yield from in_turn([("folder/aim", lost_data(2, scratch, draw))])
        yield from in_turn([("grid/aim", commands(size["commands"], scratch, draw))])


def in_turn(parts: list[tuple[str, Iterator[trials.Trial]]]) -> Iterator[tuple[str, trials.Trial]]:
    """Take one of each part in turn, so that the beginning of a run is like all of it."""
    while parts:
        for name, part in [*parts]:
            trial = next(part, None)
            if trial is None:
                parts.remove((name, part))
            else:
                yield name, trial


KINDS = {
    "kill": "SIGKILL",
    "kill of a command": "SIGKILL, processes of their own",
    "corruption": "a file cut short, bits flipped, removed",
    "disk full": "no space left (ENOSPC; a small tmpfs)",
    "EIO": "a call fails (EIO)",
    "EROFS": "calls fail (EROFS)",
    "read-only": "remounted read-only",
    "short writes": "writes take half of their bytes",
    "SIGTERM twice": "SIGTERM at two calls in a row",
    "clock set back": "clocks set back by an hour",
    "output removed": "the run's folder removed",
    "two at once": "the same command begun twice",
    "data removed": "the data removed",
}


def markdown(result: dict[str, Any]) -> str:
    rows = []
    for kind, title in KINDS.items():
        verdicts = [trial["verdict"] for trial in result["trials"] if trial["kind"] == kind]
        same, line = verdicts.count("same"), verdicts.count("one line")
        if verdicts:
            rows.append((title, len(verdicts), same, line, len(verdicts) - same - line))
    inside = sum(trial["kind"].startswith("kill") and " checkpoints" in trial["met"] for trial in result["trials"])
    bad = sum(trial["verdict"] not in ("same", "one line") for trial in result["in_place"])
    machine = result["environment"]
    return (
        f"{common.origin(result)}, safetensors {machine['safetensors']}, aimgan {machine['aimgan']}; seed "
        f"{result['seed']}; {result['processor_seconds']:.0f} s of a core.\n\n"
        + common.table(("harm", "trials", "same bytes", "one line", "lost or different"), rows)
        + f"\nOf the kills, {inside} fell inside the writing of a checkpoint. A writer that writes in place, killed "
        f"inside its writes: {bad} of {len(result['in_place'])} runs lost or different.\n"
    )


def measure(sample: bool, seed: int, scratch: Path) -> dict[str, Any]:
    trials.quicken()
    warnings.simplefilter("ignore")  # of this process, which looks at what the children left
    made = []
    for name, trial in every(SAMPLE if sample else FULL, scratch, seed):
        made.append({"recipe": name, **asdict(trial)})
        if not trial.passed:
            print(len(made), name, trial, flush=True)
    failing = in_place(scratch, 2 if sample else 12, random.Random(seed))
    use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(r.ru_utime + r.ru_stime for r in use)
    in_place_trials = [asdict(trial) for trial in failing]
    return {"seed": seed, "in_place": in_place_trials, "trials": made, "processor_seconds": seconds}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--sample", action="store_true", help="a few of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=common.RESULTS / "faults.json")
    given = parser.parse_args()
    if reason := injection.missing():
        raise SystemExit(f"nothing can be injected here: {reason}")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as scratch:
        if injection.LIBRARY not in os.environ:
            sys.exit(injection.preloaded(Path(scratch)))
        command = "python benchmarks/faults.py" + " --sample" * given.sample
        result = common.about(command) | measure(given.sample, given.seed, Path(scratch))
    common.write(given.output, result, markdown(result))
    if not all(trial["verdict"] in ("same", "one line") for trial in result["trials"]):
        sys.exit("some runs were lost or ended differently: see above")


if __name__ == "__main__":
    main()
