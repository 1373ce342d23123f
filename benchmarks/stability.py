"""The stability map: how often a method works with few steps, over learning rates x a second setting x seeds.

    python benchmarks/stability.py [--methods gan,aim] [--seeds N] [--steps N] [--folder FOLDER]
    python benchmarks/stability.py --render     # the page and the figure of the committed results, without training

Each run is an `aimgan train` of its own on one thread, as many at a time as there are cores; a run that is done is not
repeated. It succeeds if it finds all modes and 90 % of its samples are of high quality. Writes
benchmarks/results/stability.json and .md, and docs/figures/stability.png.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from scipy.stats import binomtest

from aimgan.checked import cores
from aimgan.pages.tables import Table
from aimgan.paper.methods import METHODS
from aimgan.paper.parallel import run_all
from aimgan.paper.results_page import provenance
from aimgan.paper.training_run import TrainingRun

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "stability.json"
FIGURE = HERE.parent / "docs" / "figures" / "stability.png"
STEPS, BATCH = 10_000, 64  # a quarter of the tables' batch: a run takes 20 s of a core, where grid/aim takes 150 s
SUCCESS = {"modes": 25, "high_quality": 0.9}
SCORES = ("modes", "high_quality", "mode_kl", "mode_spread")
LRS = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
BETA1 = ("beta1", (0.0, 0.25, 0.5, 0.75, 0.9))
WEIGHT = ("weight", (0.05, 0.15, 0.5, 1.5, 5.0))  # lambda: from a tenth to ten times the paper's 1/d
# The second setting: the weight of an objective that has one, Adam's beta1 for the others.
SETTINGS = {"aim-weighted": WEIGHT, "aim": WEIGHT, "gan": BETA1, "veegan": ("weight", (0.1, 0.3, 1.0, 3.0, 10.0)),
            "ali": BETA1}  # fmt: skip
AXIS_NAMES = {"weight": "weight (λ)", "beta1": "Adam's beta1"}


def measure(methods: list[str], seeds: int, steps: int, folder: Path) -> dict[str, Any]:
    """Train all runs and return the results file."""
    abouts, places, runs = [], [], []
    for key in methods:
        method = METHODS[key]
        axis, values = SETTINGS[key]
        about = {"method": key, "label": method.label, "recipe": method.recipe("grid")}
        about |= {"settings": dict(method.settings), "lrs": list(LRS), "axis": axis, "values": list(values)}
        abouts.append(about)
        for seed in range(seeds):
            for lr in LRS:
                for value in values:
                    places.append({"method": key, "lr": lr, "value": value, "seed": seed})
                    settings = {**method.settings, "batch_size": BATCH, "lr": lr, axis: value}
                    runs.append(TrainingRun(about["recipe"], settings, seed, steps))
    workers = cores()
    outcomes = run_all(runs, folder, workers, Console())
    cells, environments = [], []
    for place, outcome in zip(places, outcomes, strict=True):
        scores = outcome.scores and {name: outcome.scores[name] for name in SCORES}
        came_to = {"state": outcome.state, "scores": scores, "seconds": outcome.seconds, "error": outcome.error}
        cells.append(place | came_to)
        if outcome.environment and outcome.environment not in environments:
            environments.append(outcome.environment)
    return {
        "target": "stability", "data": "grid", "command": "python benchmarks/stability.py",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"), "device": "cpu", "workers": workers,
        "seeds": list(range(seeds)), "steps": steps, "success": SUCCESS, "environments": environments,
        "methods": abouts, "cells": cells,
    }  # fmt: skip


def successes(results: dict[str, Any], about: dict[str, Any]) -> np.ndarray:
    """Return (successes, runs) of a method for each second setting (rows) and learning rate (columns)."""
    counts = np.zeros((len(about["values"]), len(about["lrs"]), 2), int)
    for cell in results["cells"]:
        if cell["method"] == about["method"] and cell["state"] != "missing":
            scores = cell["scores"] or {"modes": 0, "high_quality": 0}
            success = all(scores[name] >= least for name, least in results["success"].items())
            counts[about["values"].index(cell["value"]), about["lrs"].index(cell["lr"])] += (success, 1)
    return counts


def markdown(results: dict[str, Any]) -> str:
    """Return the page: where the numbers come from, a row for each method, and the settings that were varied."""
    rows, seeds = [], len(results["seeds"])
    for about in results["methods"]:
        counts = successes(results, about).reshape(-1, 2)
        good, total = (int(count) for count in counts.sum(axis=0))
        cells = [c for c in results["cells"] if c["method"] == about["method"] and c["state"] != "missing"]
        low, high = binomtest(good, max(total, 1)).proportion_ci(0.95, "wilson")
        quality = [100 * cell["scores"]["high_quality"] for cell in cells if cell["scores"]]
        rows.append((
            about["label"], f"{good}/{total}", f"{100 * good / max(total, 1):.0f}",
            f"{100 * low:.0f}-{100 * high:.0f}",
            f"{sum(k == n == seeds for k, n in counts)}/{len(counts)}",
            str(sum(cell["state"] == "stopped" for cell in cells)),
            f"{median(quality):.1f}" if quality else "-",
            f"{fmean(c['seconds'] for c in cells):.0f}" if cells else "-",
        ))  # fmt: skip
    heads = ("", "succeed", "%", "95 %", "all seeds", "stopped", "HQ %", "s")
    least = results["success"]
    note = (
        f"{results['steps']:,} steps a run. A run succeeds with all {least['modes']} modes and at least "
        f"{100 * least['high_quality']:g} % of 50,000 samples of high quality. %: of all runs, with Wilson's 95 % "
        f"interval (runs of one setting are alike, so it is rather too narrow). All seeds: settings in which each of "
        f"the {seeds} seeds succeeds. Stopped: a loss was not finite; that is no success. HQ %: the median. s: seconds "
        "a run."
    )
    table = Table(f"Stability on the {results['data']} data", heads, tuple(rows), note).markdown()
    rates = ", ".join(f"{lr:g}" for lr in results["methods"][0]["lrs"])
    varied = [f"{m['label']}: {m['axis']} in {', '.join(f'{v:g}' for v in m['values'])}" for m in results["methods"]]
    axes = f"Learning rates {rates}; the second axis is {'; '.join(varied)}."
    parts = [provenance(results, results["environments"]), results.get("note", ""), table, axes]
    return "\n\n".join(part for part in parts if part) + "\n"


def draw(results: dict[str, Any]) -> Figure:
    """Draw a heat map for each method: the share of seeds that succeed, and the number in each field."""
    methods = results["methods"]
    columns = min(3, len(methods))
    lines = -(-len(methods) // columns)
    figure = Figure(figsize=(4.6 * columns + 1.2, 3.4 * lines), dpi=130, layout="constrained")
    panels = list(figure.subplots(lines, columns, squeeze=False).flatten())
    for axes, about in zip(panels, methods, strict=False):
        counts = successes(results, about)
        shares = counts[..., 0] / np.where(counts[..., 1] == 0, np.nan, counts[..., 1])
        image = axes.imshow(shares, vmin=0, vmax=1, cmap="cividis", origin="lower", aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            good, total = counts[row, column]
            colour = "white" if share <= 0.5 else "black"
            text = f"{good}/{total}" if total else "-"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10)
        axes.set_xticks(range(len(about["lrs"])), [f"{value:g}" for value in about["lrs"]])
        axes.set_yticks(range(len(about["values"])), [f"{value:g}" for value in about["values"]])
        axes.set(xlabel="learning rate", ylabel=AXIS_NAMES[about["axis"]])
        axes.set_title(about["label"], fontsize=11)
    for axes in panels[len(methods) :]:
        axes.remove()
    figure.colorbar(image, ax=panels[: len(methods)], label="share of seeds that succeed", shrink=0.8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="aim-weighted,gan,veegan,ali")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--folder", type=Path, default=HERE / "runs" / "stability")
    parser.add_argument("--render", action="store_true")
    given = parser.parse_args()
    if not given.render:
        results = measure(given.methods.split(","), given.seeds, given.steps, given.folder)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    RESULTS.with_suffix(".md").write_text(markdown(results), encoding="utf-8")
    draw(results).savefig(FIGURE, metadata={"Software": None})


if __name__ == "__main__":
    main()
