"""Table 2's data set, AIM only: five seeds of the recipe and of the paper's loss, and the ablation of the weighting.

    python benchmarks/grid.py seeds        grid/aim, the plain loss, G only, seeds 0 to 4; AIM-, GAN, seed 0
    python benchmarks/grid.py ablation     science.md 2: who sees the weighting; beta; a floor. Seed 0
    python benchmarks/grid.py plain        what was tried to bring the plain loss to the paper's 81.1 %. Seed 0

Each cell is an `aimgan train` of its own on one thread, one a core; a cell that is done is not done again
(benchmarks/runs, not in git). Writes benchmarks/results/grid-<name>.json and .md.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path

from rich.console import Console

from aimgan.experiments.reproduction.cells import Cell, Outcome
from aimgan.experiments.reproduction.parallel import cores, run_all
from aimgan.experiments.tables import pipes

HERE = Path(__file__).parent
Labelled = tuple[str, Cell]  # a row, and what it is a cell of


PLAIN = {"weighting": "none"}
SEEDS: list[Labelled] = [
    (row, Cell(recipe, given, seed))
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
    (row, Cell("grid/aim", given))
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
    (row, Cell("grid/aim", {**PLAIN, **given}))
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
SETS = {"seeds": SEEDS, "ablation": ABLATION, "plain": TRIED}


def told(row: str, cell: Cell, result: Outcome) -> dict:
    """Return a row of the results file: the scores and the command, or why it stopped."""
    made = {"row": row, "seed": cell.seed, "command": " ".join(cell.command)}
    if result.scores is None:
        return {**made, "failed": result.error}
    return {**made, "environment": result.environment, "scores": result.scores}


def markdown(name: str, rows: list[dict]) -> str:
    head = [
        "row",
        "seed",
        "modes",
        "HQ %",
        "KL",
        "spread",
        "MSE",
        "coverage 80 %",
        "log score (prior's)",
        "codes in 3 sigma",
    ]
    lines = []
    for cell in rows:
        if "failed" in cell:
            lines.append([cell["row"], str(cell["seed"]), f"stopped: {cell['failed'].split(' (')[0]}", *["-"] * 7])
            continue
        s = cell["scores"]
        infers = "reconstruction_mse" in s
        lines.append([
            cell["row"], str(cell["seed"]), str(s["modes"]), f"{100 * s['high_quality']:.1f}", f"{s['mode_kl']:.4f}",
            "{:.2f} to {:.2f}".format(*s["mode_spread"]),
            f"{s['reconstruction_mse']:.4f}" if infers else "-",
            f"{100 * s['coverage_80']:.1f}" if infers else "-",
            f"{s['log_score']:.2f} ({s['prior_log_score']:.2f})" if infers else "-",
            f"{100 * s['share_within_3_sigma']:.1f} %" if infers else "-",
        ])  # fmt: skip
    table = pipes(head, lines)
    environment = next((cell["environment"] for cell in rows if "environment" in cell), {})
    day, processor, torch = time.strftime("%Y-%m-%d"), environment.get("processor"), environment.get("torch")
    head = f"`python benchmarks/grid.py {name}`: {day}, {processor}, one thread a run, Python"
    return (
        f"{head} {platform.python_version()}, torch {torch}. Real data score 25 / 98.9 / 0 / 1; the paper's AIM "
        f"25 / 81.1.\n\n{table}\n"
    )


def main(name: str) -> None:
    todo = SETS[name]
    outcomes = run_all([cell for _, cell in todo], HERE / "runs", cores(), Console())
    if not all(result.settled for result in outcomes):
        raise SystemExit("not every cell has a result: repeat the command to go on")
    rows = [told(row, cell, result) for (row, cell), result in zip(todo, outcomes, strict=True)]
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / f"grid-{name}.json").write_text(
        json.dumps({"command": f"python benchmarks/grid.py {name}", "rows": rows}, indent=1) + "\n"
    )
    (results / f"grid-{name}.md").write_text(markdown(name, rows))
    print(markdown(name, rows))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in SETS:
        raise SystemExit(__doc__)
    main(sys.argv[1])
