"""How often AIM succeeds on Table 2's grid: 25 modes, and 95 % of the samples of high quality.

    python benchmarks/grid.py success      grid/aim and the paper's loss, seeds 10 to 29, which nothing was chosen on
    python benchmarks/grid.py refined      --preset refined, on seeds that chose nothing: 204 to 215 of the grid, and
                                           200 and 201 of the ring and of the unbalanced grid
    python benchmarks/grid.py ideas        what --preset refined was chosen from, and tried beside it
    python benchmarks/grid.py seeds        grid/aim, the paper's loss and weighting in G only, seeds 0 to 4; AIM-, GAN

Each run is an `aimgan train` on one thread, one run a core. A run that is done is not done again; the runs are kept in
runs/reproduce/table2-grid/cells, where those of `aimgan reproduce table2` are. Writes
benchmarks/results/grid-NAME.json and .md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import common
from rich.console import Console
from scipy.stats import binomtest

from aimgan.checked import cores
from aimgan.paper.parallel import run_all
from aimgan.paper.training_run import Outcome, TrainingRun

FOLDER = common.ROOT / "runs" / "reproduce" / "table2-grid" / "cells"
MODES, QUALITY = 25, 0.95  # what a run needs to succeed
Scores = Mapping[str, Any]
AIM, PAPER = "AIM, weighted likelihood (grid/aim)", "AIM, the paper's loss"
Rows = dict[str, list[TrainingRun]]  # the runs of each row


def runs(recipe: str, seeds: Sequence[int], steps: int | None = None, **settings: Any) -> list[TrainingRun]:
    """Return the runs of a recipe with these seeds and settings."""
    return [TrainingRun(recipe, settings, seed, steps) for seed in seeds]


def refined(data: str, seeds: Sequence[int]) -> Rows:
    """Return the runs of --preset refined on a data set."""
    recipe = f"{data}/aim"
    return {f"{recipe} --preset refined": [TrainingRun(recipe, seed=seed, preset="refined") for seed in seeds]}


def idea(steps: int, refit: float, seeds: Sequence[int], **settings: Any) -> list[TrainingRun]:
    """Return runs that differ from --preset refined in the settings that are given."""
    longer = {"schedule": "cosine", "final_lr": 0.1, "ema": 0.9998, "compile": True, "refit": refit}
    return runs("grid/aim", seeds, steps, **settings, **longer)


SETS: dict[str, Rows] = {
    "success": {AIM: runs("grid/aim", range(10, 30)), PAPER: runs("grid/aim", range(10, 30), weighting="none")},
    "refined": {
        **refined("grid", range(204, 216)),
        **refined("ring", range(200, 202)),
        **refined("unbalanced", range(200, 202)),
    },
    "ideas": {
        "weighted in G only, lambda 3, 45,000 steps": idea(
            45_000, 0.07, range(200, 204), weighting="generator", weight=3.0
        ),
        "the paper's loss, log variance above -2, 36,000 steps": idea(
            36_000, 0.08, (201, 203), weighting="none", **{"networks.min_log_variance": -2.0}
        ),
        "the paper's loss, log variance above -1.5, 36,000 steps": idea(
            36_000, 0.08, (201, 203), weighting="none", **{"networks.min_log_variance": -1.5}
        ),
        "weighted by the deviation (beta 0.5), 36,000 steps": idea(
            36_000, 0.08, (201, 204, 212, 213), weighting="both", beta=0.5
        ),
        "weighted by the deviation (beta 0.5), 45,000 steps": idea(
            45_000, 0.07, range(216, 220), weighting="both", beta=0.5
        ),
    },
    "seeds": {
        AIM: runs("grid/aim", range(5)),
        PAPER: runs("grid/aim", range(5), weighting="none"),
        "AIM, weighted in G only": runs("grid/aim", range(5), weighting="generator"),
        "AIM-": runs("grid/aim-minus", range(1)),
        "GAN": runs("grid/gan", range(1)),
    },
}
GOALS: dict[str, Callable[[Scores], bool]] = {  # of the refined runs
    "all modes": lambda s: s["modes"] == len(s["mode_counts"]),
    "high quality of 97.5 % or more": lambda s: s["high_quality"] >= 0.975,
    "spreads of all modes in 0.85 to 1.15": lambda s: 0.85 <= min(s["mode_spread"]) <= max(s["mode_spread"]) <= 1.15,
    "R² of 0.8 or more": lambda s: s["within_mode_r2"] >= 0.8,
    "at most 0.1 % in the wrong mode": lambda s: s["wrong_mode"] <= 0.001,
}
Shown = dict[str, Callable[[Scores], Any]]
COLUMNS: Shown = {  # of the table
    "modes": lambda s: s["modes"],
    "HQ %": lambda s: f"{100 * s['high_quality']:.1f}",
    "KL": lambda s: f"{s['mode_kl']:.4f}",
    "spread": lambda s: "{:.2f} to {:.2f}".format(*s["mode_spread"]),
    "MSE": lambda s: f"{s['reconstruction_mse']:.4f}",
    "R² in modes": lambda s: f"{s['within_mode_r2']:.2f}",
    "wrong mode %": lambda s: f"{100 * s['wrong_mode']:.2f}",
    "coverage 80 %": lambda s: f"{100 * s['coverage_80']:.1f}",
    "log score (prior's)": lambda s: f"{s['log_score']:.2f} ({s['prior_log_score']:.2f})",
    "codes in 3 sigma": lambda s: f"{100 * s['share_within_3_sigma']:.1f} %",
}
FAILED: Shown = {  # what is said of the runs that failed
    "modes {:g}": lambda s: s["modes"],
    "HQ {:.1f} %": lambda s: 100 * s["high_quality"],
    "KL {:.4f}": lambda s: s["mode_kl"],
    "wrong mode {:.2f} %": lambda s: 100 * s["wrong_mode"],
    "R² in modes {:.2f}": lambda s: s["within_mode_r2"],
}
COMPLETE: Shown = {  # what is said of the runs that found all modes
    "MSE {:.4f}": lambda s: s["reconstruction_mse"],
    "R² in modes {:.2f}": lambda s: s["within_mode_r2"],
}


def row_of(name: str, cell: TrainingRun, result: Outcome) -> dict[str, Any]:
    """Return a row of the results file: the command with its scores, or why it stopped."""
    row = {"row": name, "seed": cell.seed, "command": " ".join(cell.command)}
    if result.scores is None:
        return {**row, "failed": result.error}
    return {**row, "environment": result.environment, "scores": result.scores}


def line(row: dict[str, Any]) -> list[Any]:
    """Return a row of the results file as a line of the table."""
    if "failed" in row:
        reason = row["failed"].split(" (")[0]
        return [row["row"], row["seed"], f"stopped: {reason}", *["-"] * (len(COLUMNS) - 1)]
    found = [value_of(score, row["scores"]) for score in COLUMNS.values()]
    return [row["row"], row["seed"], *("-" if value is None else value for value in found)]


def value_of(score: Callable[[Scores], Any], scores: Scores) -> Any:
    """Return a score, or None for a run that has none: a model without an encoder."""
    try:
        return score(scores)
    except KeyError:
        return None


def succeeds(row: dict[str, Any]) -> bool:
    """Return whether a run found all modes with samples of high quality. One that stopped did not."""
    return "failed" not in row and row["scores"]["modes"] == MODES and row["scores"]["high_quality"] >= QUALITY


def over_runs(rows: list[dict[str, Any]], shown: Shown) -> str:
    """Return each score's median, lowest and highest value over the runs that were not stopped."""
    scores = [row["scores"] for row in rows if "failed" not in row]
    parts = []
    for form, score in shown.items():
        number = form[form.index("{") : form.index("}") + 1]
        values = [value_of(score, found) for found in scores]
        values = [value for value in values if value is not None]
        if values:
            parts.append(
                f"{form.format(median(values))} ({number.format(min(values))} to {number.format(max(values))})"
            )
    return ", ".join(parts)


def success(name: str, rows: list[dict[str, Any]]) -> str:
    """Say how many of a row's runs succeed, which fail and how, and how much of a mode the others keep."""
    failed = [row for row in rows if not succeeds(row)]
    good = len(rows) - len(failed)
    interval = binomtest(good, len(rows)).proportion_ci(method="wilson")
    text = (
        f"**{name}**: {good} of {len(rows)} seeds succeed, {100 * good / len(rows):.0f} % (95 % interval, Wilson: "
        f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %)."
    )
    if failed:
        stopped = sum("failed" in row for row in failed)
        seeds = ", ".join(str(row["seed"]) for row in failed)
        text += f" Failed: {'seeds ' + seeds if good else 'all'}"
        text += f", of which {stopped} diverged." if stopped else "."
        if stopped < len(failed):
            text += f" A failed run, median (lowest to highest): {over_runs(failed, FAILED)}."
    complete = [row for row in rows if "failed" not in row and row["scores"]["modes"] == MODES]
    text += f" All {MODES} modes were found by {len(complete)} of {len(rows)} seeds"
    return text + (f"; in those: {over_runs(complete, COMPLETE)}." if complete else ".")


def goals(name: str, rows: list[dict[str, Any]]) -> str:
    """Say how many of a row's runs reach each of the goals."""
    found = [
        f"{sum('failed' not in row and met(row['scores']) for row in rows)} of {len(rows)} have {what}"
        for what, met in GOALS.items()
    ]
    return f"**{name}**: {'; '.join(found)}. Median (lowest to highest): {over_runs(rows, COMPLETE)}."


SUMMARIES = {"success": success, "refined": goals}  # of a set's rows


def markdown(result: dict[str, Any], table: bool = True) -> str:
    """Return the page of a results file; without the table, only what it comes to."""
    rows = result["rows"]
    parts = [
        f"{common.origin(result)}. One thread a run. Real data score 25 / 98.9 / 0 / 1; the paper's AIM 25 / 81.1. "
        "The mode's centre for every x has MSE 0.0025, R² 0 and no wrong mode."
    ]
    if "success" in result["command"]:
        parts.append(f"Success: {MODES} modes and high quality of {100 * QUALITY:g} % or more.")
    for name, told in SUMMARIES.items():
        if name in result["command"]:
            by_row = {row["row"]: [other for other in rows if other["row"] == row["row"]] for row in rows}
            parts += [told(*one) for one in by_row.items()]
    if table:
        parts.append(common.table(("row", "seed", *COLUMNS), [line(row) for row in rows]).rstrip())
    return "\n\n".join(parts) + "\n"


def cells(name: str) -> list[tuple[str, TrainingRun]]:
    """Return a set's runs, each with its row's name."""
    return [(row, run) for row, found in SETS[name].items() for run in found]


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("set", choices=SETS)
    name = parser.parse_args().set
    todo = cells(name)
    outcomes = run_all([cell for _, cell in todo], FOLDER, cores(), Console())
    if not all(outcome.has_result for outcome in outcomes):
        raise SystemExit("not every run has a result: repeat the command to go on")
    rows = [row_of(*run, outcome) for run, outcome in zip(todo, outcomes, strict=True)]
    result = {**common.about(), "rows": rows}
    common.write(common.RESULTS / f"grid-{name}.json", result, markdown(result))
    if name in SUMMARIES:
        (common.RESULTS / f"grid-{name}-short.md").write_text(markdown(result, table=False), encoding="utf-8")


if __name__ == "__main__":
    main()
