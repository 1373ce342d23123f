"""The learning rate of each method of Table 2: at most three values a method, on seed 0.

    python benchmarks/lr_search.py [FOLDER]        [benchmarks/runs/lr]

Chosen is the value with the most modes, then the most samples of high quality; the recipes in recipes/mixtures.py have
it. A cell that is done is not done again. Writes benchmarks/results/lr-search.json and .md.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from rich.console import Console

from aimgan.pages.tables import pipes
from aimgan.paper.experiment import without_lists
from aimgan.paper.methods import chosen
from aimgan.paper.parallel import cores, run_all
from aimgan.paper.training_run import TrainingRun

HERE = Path(__file__).parent
STEPS = 15_000
# At most three values a method; the plain loss of AIM is known to fail at 5e-4 (results/grid-plain.md). A step of the
# unrolled GAN costs six of the others', so it is looked at earlier.
METHODS = {
    "aim-weighted": ({"lr": 2e-3}, {"lr": 1e-3}),
    "aim": ({"lr": 2e-3}, {"lr": 1e-3}),
    "gan": ({"lr": 2e-3}, {"lr": 1e-3}, {"lr": 5e-4}),
    "ali": ({"lr": 2e-3}, {"lr": 1e-3}, {"lr": 5e-4}),
    "veegan": ({"lr": 2e-3}, {"lr": 1e-3}, {"lr": 5e-4}),
    "unrolled-gan": ({"lr": 2e-3}, {"lr": 1e-3}),
}
LENGTHS = {"unrolled-gan": 3_000}


def cells() -> dict[tuple[str, str], TrainingRun]:
    """Every method with each of its settings."""
    methods = {method.key: method for method in chosen(list(METHODS), "grid")}
    return {
        (key, ", ".join(f"{name} {value}" for name, value in settings.items())): TrainingRun(
            methods[key].recipe("grid"), {**methods[key].settings, **settings}, 0, LENGTHS.get(key, STEPS)
        )
        for key, tried in METHODS.items()
        for settings in tried
    }


def rank(row: dict) -> tuple[int, float]:
    """More modes first, then more samples of high quality; a run that stopped is last."""
    return (row["scores"]["modes"], row["scores"]["high_quality"]) if row["scores"] else (0, 0.0)


def markdown(rows: list[dict], environment: dict) -> str:
    head = ["method", "settings", "steps", "modes", "HQ %", "KL", "MSE", "chosen"]
    lines = []
    for row in rows:
        told = [row["error"] or row["state"], "-", "-", "-"]
        if scores := row["scores"]:
            told = [str(scores["modes"]), f"{100 * scores['high_quality']:.1f}", f"{scores['mode_kl']:.4f}", "-"]
            told[3] = f"{scores['reconstruction_mse']:.4f}" if "reconstruction_mse" in scores else "-"
        lines.append(
            [
                row["method"],
                row["settings"],
                f"{LENGTHS.get(row['method'], STEPS):,}",
                *told,
                "**yes**" if row["chosen"] else "",
            ]
        )
    table = pipes(head, lines)
    machine = f"{environment.get('processor')}, one thread a run, torch {environment.get('torch')}"
    return f"`python benchmarks/lr_search.py`: {time.strftime('%Y-%m-%d')}, {machine}. The grid, seed 0.\n\n{table}\n"


def main(folder: Path) -> None:
    todo = cells()
    outcomes = run_all(list(todo.values()), folder, cores(), Console())
    rows = [
        {"method": key, "settings": settings, "command": " ".join(cell.command), **result._asdict()}
        for ((key, settings), cell), result in zip(todo.items(), outcomes, strict=True)
    ]
    for row in rows:
        row["chosen"] = rank(row) == max(rank(other) for other in rows if other["method"] == row["method"])
    rows = [{**row, "scores": row["scores"] and without_lists(row["scores"])} for row in rows]
    rows.sort(key=lambda row: list(METHODS).index(row["method"]))
    environment = next((row["environment"] for row in rows if row["environment"]), {})
    results, command = HERE / "results", "python benchmarks/lr_search.py"
    (results / "lr-search.json").write_text(json.dumps({"command": command, "rows": rows}, indent=1) + "\n")
    (results / "lr-search.md").write_text(markdown(rows, environment))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "runs" / "lr")
