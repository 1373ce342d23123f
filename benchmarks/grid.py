"""Table 2's data set, AIM only: five seeds of the recipe and of the paper's loss, and the ablation of the weighting.

    python benchmarks/grid.py seeds        grid/aim, the plain loss, G only, seeds 0 to 4; AIM-, GAN, seed 0
    python benchmarks/grid.py ablation     science.md 2: who sees the weighting; beta; a floor. Seed 0
    python benchmarks/grid.py plain        what was tried to bring the plain loss to the paper's 81.1 %. Seed 0
    python benchmarks/grid.py success      how often grid/aim and the plain loss succeed: seeds 10 to 29, chosen on none

Each cell is an `aimgan train` of its own on one thread, one a core; a cell that is done is not done again
(benchmarks/runs, not in git; those of `success` are in runs/reproduce/table2-grid/cells). Cells from before
reconstructions were read against the modes get those scores of their saved model. Writes
benchmarks/results/grid-<name>.json and .md.
"""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from rich.console import Console

import aimgan
from aimgan.evaluation.evaluate import within_modes
from aimgan.pages.tables import pipes
from aimgan.paper.parallel import cores, run_all
from aimgan.paper.training_run import Outcome, TrainingRun

HERE = Path(__file__).parent
Labelled = tuple[str, TrainingRun]  # a row, and what it is a cell of


PLAIN = {"weighting": "none"}
SEEDS: list[Labelled] = [
    (row, TrainingRun(recipe, given, seed))
    for row, recipe, given, seeds in (
        ("AIM, weighted likelihood (grid/aim)", "grid/aim", {}, range(5)),
        ("AIM, the paper's loss", "grid/aim", PLAIN, range(5)),
        ("AIM, weighted in G only", "grid/aim", {"weighting": "generator"}, range(5)),
        ("AIM-", "grid/aim-minus", {}, range(1)),
        ("GAN", "grid/gan", {}, range(1)),
    )
    for seed in seeds
]
ABLATION: list[Labelled] = [
    (row, TrainingRun("grid/aim", given))
    for row, given in {
        "plain (the paper's loss)": PLAIN,
        "weighted in both (grid/aim)": {},
        "weighted in E only": {"weighting": "encoder"},
        "weighted in G only": {"weighting": "generator"},
        "weighted in both, beta 0.5": {"beta": 0.5},
        "plain, log variance above -4": {**PLAIN, "networks.min_log_variance": -4.0},
        "plain, log variance above -2": {**PLAIN, "networks.min_log_variance": -2.0},
    }.items()
]
TRIED: list[Labelled] = [
    (row, TrainingRun("grid/aim", {**PLAIN, **given}))
    for row, given in {
        "plain": {},
        "plain, 60,000 steps": {"steps": 60_000},
        "plain, batch norm in G": {"networks.generator_norm": "true"},
        "plain, log variance above -2": {"networks.min_log_variance": -2.0},
        "plain, swapped value function, lambda 1": {"value": "f-gan-swapped", "weight": 1.0, "lr": 5e-4},
        "plain, equation 6 as printed, lambda 1": {"value": "f-gan", "weight": 1.0, "lr": 5e-4},
        "plain, learning rate 5e-4": {"lr": 5e-4},
        "plain, linear decay to zero": {"final_lr": 0.0},
        "plain, lambda 0.1": {"weight": 0.1},
        "plain, lambda 0.02": {"weight": 0.02},
    }.items()
]
SUCCESS: list[Labelled] = [
    (row, TrainingRun("grid/aim", given, seed))
    for row, given in (("AIM, weighted likelihood (grid/aim)", {}), ("AIM, the paper's loss", PLAIN))
    for seed in range(10, 30)
]
SETS = {"seeds": SEEDS, "ablation": ABLATION, "plain": TRIED, "success": SUCCESS}
FOLDERS = {"success": HERE.parent / "runs" / "reproduce" / "table2-grid" / "cells"}  # of cells, if not HERE / "runs"
MODES, QUALITY = 25, 0.95  # what a run needs to succeed: all modes, and so many good samples
HEAD = ("row", "seed", "modes", "HQ %", "KL", "spread", "MSE", "R² in modes", "wrong mode %", "coverage 80 %",
        "log score (prior's)", "codes in 3 sigma")  # fmt: skip
FAILED_RUN: dict[str, Callable[[dict], float | None]] = {  # what a failed run looks like
    "modes {:g}": lambda s: s["modes"],
    "HQ {:.1f} %": lambda s: 100 * s["high_quality"],
    "KL {:.4f}": lambda s: s["mode_kl"],
    "wrong mode {:.2f} %": lambda s: 100 * s["wrong_mode"] if "wrong_mode" in s else None,
    "R² in modes {:.2f}": lambda s: s.get("within_mode_r2"),
}


def measured(cell: TrainingRun, result: Outcome, folder: Path) -> Outcome:
    """Return a cell's result with its reconstructions read against the modes, of the saved model where need be."""
    scores = result.scores or {}
    if "reconstruction_mse" not in scores or "wrong_mode" in scores:
        return result
    model = aimgan.load(str(folder / cell.name))
    return result._replace(scores={**scores, **within_modes(model, cell.ready[1], cell.seed)})


def told(row: str, cell: TrainingRun, result: Outcome) -> dict:
    """Return a row of the results file: the scores and the command, or why it stopped."""
    made = {"row": row, "seed": cell.seed, "command": " ".join(cell.command)}
    if result.scores is None:
        return {**made, "failed": result.error}
    return {**made, "environment": result.environment, "scores": result.scores}


def line(cell: dict) -> list[str]:
    """Return a row of the results file as a row of the table."""
    if "failed" in cell:
        stopped = f"stopped: {cell['failed'].split(' (')[0]}"
        return [cell["row"], str(cell["seed"]), stopped, *["-"] * (len(HEAD) - 3)]
    s = cell["scores"]
    calibrated = "log_score" in s
    return [
        cell["row"], str(cell["seed"]), str(s["modes"]), f"{100 * s['high_quality']:.1f}", f"{s['mode_kl']:.4f}",
        "{:.2f} to {:.2f}".format(*s["mode_spread"]),
        f"{s['reconstruction_mse']:.4f}" if "reconstruction_mse" in s else "-",
        f"{s['within_mode_r2']:.2f}" if "within_mode_r2" in s else "-",
        f"{100 * s['wrong_mode']:.2f}" if "wrong_mode" in s else "-",
        f"{100 * s['coverage_80']:.1f}" if calibrated else "-",
        f"{s['log_score']:.2f} ({s['prior_log_score']:.2f})" if calibrated else "-",
        f"{100 * s['share_within_3_sigma']:.1f} %" if "share_within_3_sigma" in s else "-",
    ]  # fmt: skip


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's (1927) interval for the probability of a success, of n trials; z = 1.96 is the 95 % one.

    It holds those p that successes / n is at most z of p's own standard errors sqrt(p (1 - p) / n) from. So it stays in
    [0, 1], and 20 of 20 do not say that nothing can fail: 0.839 to 1.
    """
    share, spread = successes / n, z * z / n
    centre = share + spread / 2
    half = math.sqrt(spread * (share * (1 - share) + spread / 4))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


# Of runs that find all modes.
KEPT: dict[str, Callable[[dict], float | None]] = {
    "MSE {:.4f}": lambda s: s.get("reconstruction_mse"),
    "R² in modes {:.2f}": lambda s: s.get("within_mode_r2"),
}


def succeeds(cell: dict) -> bool:
    """Whether a run found all modes with samples of high quality. One that stopped did not."""
    return "failed" not in cell and cell["scores"]["modes"] == MODES and cell["scores"]["high_quality"] >= QUALITY


def over_runs(runs: list[dict], what: dict[str, Callable[[dict], float | None]]) -> list[str]:
    """Return the median and the extremes of scores over runs, of those that have them."""
    told = []
    for form, score in what.items():
        found = [value for run in runs if "failed" not in run and (value := score(run["scores"])) is not None]
        number = form[form.index("{") : form.index("}") + 1]
        extremes = [number.format(value) for value in (min(found), max(found))] if found else []
        told += [f"{form.format(median(found))} ({' to '.join(extremes)})"] if found else []
    return told


def success(name: str, runs: list[dict]) -> str:
    """Say how many of a row's runs succeed, which do not and what those look like, and how much of a mode is kept."""
    failed = [run for run in runs if not succeeds(run)]
    good = len(runs) - len(failed)
    low, high = wilson(good, len(runs))
    told = (f"**{name}**: {good} of {len(runs)} seeds succeed, {100 * good / len(runs):.0f} % (95 % interval, Wilson: "
            f"{100 * low:.1f} to {100 * high:.1f} %).")  # fmt: skip
    if failed:
        stopped = [run for run in failed if "failed" in run]
        seeds = "seeds " + ", ".join(str(run["seed"]) for run in failed) if good else "all"
        told += f" Failed: {seeds}" + (f", of which {len(stopped)} diverged" if stopped else "") + "."
        looks = over_runs(failed, FAILED_RUN)
        told += f" A failed run, median (lowest to highest): {', '.join(looks)}." if looks else ""
    all_modes = [run for run in runs if "failed" not in run and run["scores"]["modes"] == MODES]
    looks = over_runs(all_modes, KEPT)
    told += f" All {MODES} modes were found by {len(all_modes)} of {len(runs)} seeds"
    told += f"; in those: {', '.join(looks)}." if looks else "."
    return told


def successes(rows: list[dict]) -> str:
    """Return the paragraphs on every row's success."""
    names = dict.fromkeys(cell["row"] for cell in rows)
    told = [success(name, [cell for cell in rows if cell["row"] == name]) for name in names]
    return "\n\n".join([f"Success: {MODES} modes and high quality of {100 * QUALITY:g} % or more.", *told])


def markdown(name: str, rows: list[dict], table: bool = True) -> str:
    """Return the page of a results file's rows; without the table, what it comes to."""
    environment = next((cell["environment"] for cell in rows if "environment" in cell), {})
    day, processor, torch = time.strftime("%Y-%m-%d"), environment.get("processor"), environment.get("torch")
    parts = [
        f"`python benchmarks/grid.py {name}`: {day}, {processor}, one thread a run, Python "
        f"{platform.python_version()}, torch {torch}. Real data score 25 / 98.9 / 0 / 1; the paper's AIM 25 / 81.1. "
        "The mode's centre for every x has MSE 0.0025, R² 0 and no wrong mode.",
        *([successes(rows)] if name == "success" else []),
        *([pipes(HEAD, [line(cell) for cell in rows])] if table else []),
    ]
    return "\n\n".join(parts) + "\n"


def main(name: str) -> None:
    todo, folder = SETS[name], FOLDERS.get(name, HERE / "runs")
    outcomes = run_all([cell for _, cell in todo], folder, cores(), Console())
    if not all(result.settled for result in outcomes):
        raise SystemExit("not every cell has a result: repeat the command to go on")
    found = zip(todo, outcomes, strict=True)
    rows = [told(row, cell, measured(cell, result, folder)) for (row, cell), result in found]
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / f"grid-{name}.json").write_text(
        json.dumps({"command": f"python benchmarks/grid.py {name}", "rows": rows}, indent=1) + "\n"
    )
    (results / f"grid-{name}.md").write_text(markdown(name, rows))
    if name == "success":
        (results / f"grid-{name}-short.md").write_text(markdown(name, rows, table=False))
    print(markdown(name, rows))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in SETS:
        raise SystemExit(__doc__)
    main(sys.argv[1])
