"""The time of a step on two processes, predicted from one: a model that is fitted, committed, and then checked.

    python benchmarks/scaling.py fit           -> results/scaling.json: the fit and its predictions; commit it, and then
    python benchmarks/scaling.py check         -> results/scaling-check.json: sizes that the fit has not seen, measured
    python benchmarks/scaling.py efficiency    -> results/scaling-efficiency.json: 2 processes against 2 threads

A process has one thread. One launch of one process and one of two live side by side and work in turns, round by round,
and medians are taken; leave the machine alone. `check` refuses a prediction that is not committed, and fails where it
is off by more than 20 %. The formula is in docs/scaling.md.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from accelerate import Accelerator
from scaling_model import SIZES, Fit, counts, family, fitted, step_seconds
from torch import distributed

from aimgan.networks import Table3
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.recipes.recipe import Recipe
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine

HELD_OUT = [(96, 88), (160, 56)]  # between the sizes above, and beyond them
STEPS = {32: 10, 64: 6, 96: 5, 128: 3, 160: 2}
MESSAGES = (2**12, 2**16, 2**18, 2**20, 2**22, 2**23)  # bytes of an all-reduce measured alone
TOLERANCE = 0.2
NETWORKS = {  # of `efficiency`: label, global batch, steps
    "grid": ("grid's MLPs", 256, 40),
    "table3-256": ("Table 3, width 256", 100, 6),
    "32-128": ("Table 4, 32 x 32, width 128", 100, 3),
    "32-256": ("Table 4, 32 x 32, width 256", 100, 1),
    "64-256": ("Table 4, width 256", 100, 1),
}
Job = dict[str, Any]

# --- launches -----------------------------------------------------------------------------------------------------


def recipe_of(name: str) -> Recipe:
    """Return the recipe of `grid`, of `table3-256`, or of Table 4's networks by side and width: `32-128`."""
    if name == "grid":
        return RECIPES["grid/aim"]
    kind, width = name.split("-")
    if kind == "table3":
        return replace(RECIPES["mnist/aim"], networks=Table3(width=int(width)))
    return replace(RECIPES["cifar10/aim"], networks=family(int(width), int(kind)))


class Launch:
    """Processes that wait for jobs, and do each of them together."""

    def __init__(self, n: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(n)}
        for rank in range(n):
            ours, theirs = context.Pipe()
            variables = place | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if n > 1 else {}
            self.processes.append(context.Process(target=work, args=(theirs, variables), daemon=True))
            self.processes[-1].start()
            self.pipes.append(ours)

    def do(self, job: Job | None) -> float:
        """Do a job and return the first process's seconds a time; with None the processes end."""
        for pipe in self.pipes:
            pipe.send(job)
        return max(pipe.recv() for pipe in self.pipes)


def in_turns(jobs: Sequence[tuple[int, Job]], rounds: int) -> list[list[float]]:
    """Return the seconds of each (processes, job) over the rounds: one of each, then all again."""
    launches = {n: Launch(n) for n in (1, 2)}
    seconds: list[list[float]] = [[] for _ in jobs]
    for turn in range(rounds + 1):
        for (n, job), found in zip(jobs, seconds, strict=True):
            found.append(launches[n].do(job))
        print(f"round {turn} of {rounds}", file=sys.stderr, flush=True)
    for launch in launches.values():
        launch.do(None)
    return [found[1:] for found in seconds]  # the first round warms up


def work(pipe: Connection, variables: dict[str, str]) -> None:
    """Do jobs, as one process of a launch, and send the seconds that each took."""
    os.environ.update(variables)
    accelerator = Accelerator(cpu=True)
    engines: dict[str, Engine] = {}
    number = count()
    while job := pipe.recv():
        torch.set_num_threads(job.get("threads", 1))
        if "bytes" in job:
            call = partial(distributed.all_reduce, torch.rand(job["bytes"] // 4))
        else:
            recipe = recipe_of(job["networks"])
            if job["networks"] not in engines:
                rule = Adam(recipe.beta1, recipe.beta2)
                engines[job["networks"]] = Engine(assemble(recipe, 0), rule, accelerator)
            x = torch.rand(job["batch"] // accelerator.num_processes, *recipe.networks.shape)
            call = partial(engines[job["networks"]].step, x, lr=recipe.lr)
        accelerator.wait_for_everyone()
        begun = time.perf_counter()
        for _ in range(job["times"]):
            call() if "bytes" in job else call(step=next(number))
        pipe.send((time.perf_counter() - begun) / job["times"])
    accelerator.end_training()
    pipe.send(0.0)


# --- what is measured ---------------------------------------------------------------------------------------------


def step_job(width: int, batch: int) -> Job:
    return {"networks": f"32-{width}", "batch": batch, "times": STEPS[width]}


def fit(rounds: int) -> dict[str, Any]:
    steps = [(n, width, batch) for width, batch in SIZES for n in (1, 2)]
    jobs = [(n, step_job(width, batch)) for n, width, batch in steps]
    jobs += [(2, {"bytes": size, "times": 20}) for size in MESSAGES]
    seconds = [statistics.median(found) for found in in_turns(jobs, rounds)]
    measured = dict(zip(steps, seconds[: len(steps)], strict=True))
    sent = dict(zip(MESSAGES, seconds[len(steps) :], strict=True))
    found = fitted(measured, sent)
    held_out = []
    for width, batch in HELD_OUT:
        predicted = step_seconds(found, counts(family(width)), batch, 2)
        held_out.append({"width": width, "batch": batch, "processes": 2, "seconds": predicted})
    return {
        "fit": asdict(found),
        "steps": [{"processes": n, "width": w, "batch": b, "seconds": s} for (n, w, b), s in measured.items()],
        "all_reduce": [{"bytes": size, "seconds": s} for size, s in sent.items()],
        "held_out": held_out,
    }


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", common.RESULTS, *words], capture_output=True, text=True, check=False).stdout


def check(rounds: int) -> dict[str, Any]:
    commit = git("log", "-1", "--format=%H %cI", "--", "scaling.json").strip()
    if not commit or git("status", "--porcelain", "--", "scaling.json"):
        raise SystemExit("run fit, commit benchmarks/results/scaling.json, and only then measure")
    made = common.kept(common.RESULTS / "scaling.json")
    jobs = [(2, step_job(row["width"], row["batch"])) for row in made["held_out"]]
    rows = []
    for row, seconds in zip(made["held_out"], in_turns(jobs, rounds), strict=True):
        measured = statistics.median(seconds)
        rows.append(row | {"measured": measured, "all": seconds, "ratio": row["seconds"] / measured})
    holds = all(abs(row["ratio"] - 1) <= TOLERANCE for row in rows)
    return {"prediction": commit, "predicted_at": made["date"], "rows": rows, "holds": holds}


def efficiency(rounds: int) -> dict[str, Any]:
    jobs = []
    for name, (_, batch, steps) in NETWORKS.items():
        for n, threads in ((1, 1), (1, 2), (2, 1)):
            jobs.append((n, {"networks": name, "batch": batch, "times": steps, "threads": threads}))
    found, rows = iter(in_turns(jobs, rounds)), []
    for name, (label, batch, _) in NETWORKS.items():
        one, threads, processes = (np.array(next(found)) for _ in range(3))
        ratio = threads / processes
        rows.append({
            "networks": name, "label": label, "batch": batch, "one": np.median(one), "threads": np.median(threads),
            "processes": np.median(processes), "ratio": np.median(ratio), "ratio_range": [ratio.min(), ratio.max()],
            "speedup": np.median(one / processes),
        })  # fmt: skip
    return {"rounds": rounds, "rows": rows}


# --- pages --------------------------------------------------------------------------------------------------------


def fit_page(made: dict[str, Any]) -> str:
    fit = Fit(**made["fit"])
    rates = [
        ("a step, whatever its size", f"{1e3 * fit.step:.1f} ms"),
        ("arithmetic", f"{1 / fit.gflop:.1f} GFLOP/s"),
        ("activations", f"{1e3 * fit.activation:.2f} ms a million kept elements"),
        ("parameters", f"{1e3 * fit.parameter:.2f} ms a million"),
        ("two processes compute, against one alone", f"{fit.contention:.2f} x as long"),
        ("gradients laid out flat, copied, divided", f"{1e3 * fit.flat:.2f} ms a million parameters"),
        ("all-reduce of 2 processes, alone", f"{1e3 * fit.latency:.2f} ms + bytes / {fit.link / 1e9:.2f} GB/s"),
    ]
    steps = []
    for row in made["steps"]:
        predicted = step_seconds(fit, counts(family(row["width"])), row["batch"], row["processes"])
        ratio = f"{predicted / row['seconds']:.2f}"
        steps.append((row["width"], row["batch"], row["processes"], f"{1e3 * row['seconds']:.1f}", ratio))
    held = [f"width {r['width']}, batch {r['batch']}: {1e3 * r['seconds']:.1f} ms" for r in made["held_out"]]
    return (
        f"{common.origin(made)}, gloo. Networks: Table 4's at 32 x 32.\n\n{common.table(('fitted', ''), rates)}\n"
        + common.table(("width", "batch", "processes", "ms", "model / measured"), steps)
        + f"\nPredicted for 2 processes, not run before: {'; '.join(held)}.\n"
    )


def check_page(made: dict[str, Any]) -> str:
    commit, when = made["prediction"].split()
    rows = [(r["width"], r["batch"], r["processes"], f"{1e3 * r['seconds']:.1f}", f"{1e3 * r['measured']:.1f}",
             f"{r['ratio']:.2f}") for r in made["rows"]]  # fmt: skip
    columns = ("width", "batch", "processes", "predicted, ms", "measured, ms", "predicted / measured")
    return (
        f"{common.origin(made)}. Predicted {made['predicted_at']}, committed as {commit[:10]} at {when}; medians of "
        f"{len(made['rows'][0]['all'])} rounds.\n\n{common.table(columns, rows)}\n"
        f"Within 20 %: {'holds' if made['holds'] else 'FAILS'}.\n"
    )


def efficiency_page(made: dict[str, Any]) -> str:
    rows = []
    for r in made["rows"]:
        low, high = r["ratio_range"]
        times = [f"{1e3 * r[name]:.1f}" for name in ("one", "threads", "processes")]
        ratio = f"{r['ratio']:.2f} ({low:.2f} to {high:.2f})"
        rows.append((r["label"], r["batch"], *times, ratio, f"{r['speedup']:.2f}", f"{r['speedup'] / 2:.0%}"))
    columns = ("networks", "batch", "1 process, 1 thread, ms", "1 process, 2 threads, ms",
               "2 processes, 1 thread each, ms", "2 threads / 2 processes (range)", "speed-up over 1 thread",
               "efficiency on 2 cores")  # fmt: skip
    return (
        f"{common.origin(made)}; medians of {made['rounds']} rounds, in turns. The global batch is the same in all "
        f"columns.\n\n{common.table(columns, rows)}"
    )


PARTS = {
    "fit": ("scaling.json", fit, fit_page),
    "check": ("scaling-check.json", check, check_page),
    "efficiency": ("scaling-efficiency.json", efficiency, efficiency_page),
}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--results", type=Path, default=common.RESULTS)
    given = parser.parse_args()
    file, measure, page = PARTS[given.part]
    result = common.about() | measure(given.rounds)
    common.write(given.results / file, result, page(result))
    if not result.get("holds", True):
        sys.exit("the prediction does not hold")


if __name__ == "__main__":
    main()
