"""The learning rate of each method of Table 2: at most three values a method, on seed 0.

    python benchmarks/lr_search.py [FOLDER]        [benchmarks/runs/lr]

The value with the most modes is chosen, then the one with the most samples of high quality; the recipes in
recipes/mixtures.py have it. A run that is done is not done again. Writes benchmarks/results/lr-search.json and .md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import common
from rich.console import Console

from aimgan.checked import cores
from aimgan.paper.experiment import without_lists
from aimgan.paper.methods import chosen
from aimgan.paper.parallel import run_all
from aimgan.paper.training_run import TrainingRun

# The plain loss of AIM is known to fail at 5e-4 (results/grid-plain.md).
RATES = {
    "aim-weighted": (2e-3, 1e-3),
    "aim": (2e-3, 1e-3),
    "gan": (2e-3, 1e-3, 5e-4),
    "ali": (2e-3, 1e-3, 5e-4),
    "veegan": (2e-3, 1e-3, 5e-4),
    "unrolled-gan": (2e-3, 1e-3),
}
STEPS = dict.fromkeys(RATES, 15_000) | {"unrolled-gan": 3_000}  # a step of the latter costs six of the others'


def cells() -> list[tuple[str, float, TrainingRun]]:
    """Return every method with each of its rates, and the run that tries it."""
    found = []
    for method in chosen(list(RATES), "grid"):
        for rate in RATES[method.key]:
            cell = TrainingRun(method.recipe("grid"), {**method.settings, "lr": rate}, 0, STEPS[method.key])
            found.append((method.key, rate, cell))
    return found


def rank(row: dict[str, Any]) -> tuple[int, float]:
    """Return what decides: modes first, then samples of high quality. A run that stopped is last."""
    if not row["scores"]:
        return 0, 0.0
    return row["scores"]["modes"], row["scores"]["high_quality"]


def line(row: dict[str, Any]) -> list[str]:
    scores = row["scores"]
    shown = [row["error"] or row["state"], "-", "-", "-"]
    if scores:
        mse = f"{scores['reconstruction_mse']:.4f}" if "reconstruction_mse" in scores else "-"
        shown = [str(scores["modes"]), f"{100 * scores['high_quality']:.1f}", f"{scores['mode_kl']:.4f}", mse]
    steps = f"{STEPS[row['method']]:,}"
    return [row["method"], row["settings"], steps, *shown, "**yes**" if row["chosen"] else ""]


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=common.RUNS / "lr")
    todo = cells()
    outcomes = run_all([cell for *_, cell in todo], parser.parse_args().folder, cores(), Console())
    rows = []
    for (method, rate, cell), outcome in zip(todo, outcomes, strict=True):
        row = {"method": method, "settings": f"lr {rate}", "command": " ".join(cell.command), **outcome._asdict()}
        rows.append(row | {"scores": row["scores"] and without_lists(row["scores"])})
    for row in rows:
        row["chosen"] = rank(row) == max(rank(other) for other in rows if other["method"] == row["method"])
    result = {**common.about("python benchmarks/lr_search.py"), "rows": rows}
    columns = ("method", "settings", "steps", "modes", "HQ %", "KL", "MSE", "chosen")
    page = common.table(columns, [line(row) for row in rows])
    common.write(common.RESULTS / "lr-search.json", result, f"{common.origin(result)}. The grid, seed 0.\n\n{page}")


if __name__ == "__main__":
    main()
