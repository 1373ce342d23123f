"""The stability map's results file as a table and as the panels of its heat map. All pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from aimgan.figures import Panel
from aimgan.pages.tables import Table
from aimgan.paper.request import Results, provenance

Z = 1.959964  # 95 % of a normal distribution are within so many standard deviations
NONE = "-"
AXIS_NAMES = {"weight": "weight (λ)", "beta1": "Adam's beta1"}


def succeeded(cell: Mapping[str, Any], results: Results) -> bool:
    """Whether a run captured all modes with enough samples of high quality."""
    limit, scores = results["success"], cell["scores"]
    return bool(scores) and scores["modes"] >= limit["modes"] and scores["high_quality"] >= limit["high_quality"]


def wilson(k: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion of which k of n were seen."""
    if n == 0:
        return 0.0, 1.0
    p, z = k / n, Z * Z / n
    centre, half = (p + z / 2) / (1 + z), Z * math.sqrt(p * (1 - p) / n + z / (4 * n)) / (1 + z)
    return max(0.0, centre - half), min(1.0, centre + half)


def panels(results: Results) -> list[Panel]:
    """Return each method's runs and successes by learning rate (columns) and second axis (rows)."""
    made = []
    for about in results["methods"]:
        runs = [[_at(results, about, lr, value) for lr in about["lrs"]] for value in about["values"]]
        counts = [[(sum(won), len(won)) for won in line] for line in runs]
        axis = AXIS_NAMES.get(about["axis"], about["axis"])
        made.append(Panel(about["label"], "learning rate", about["lrs"], axis, about["values"], counts))
    return made


def _at(results: Results, about: Mapping[str, Any], lr: float, value: float) -> list[bool]:
    """Whether each run of a setting that has come to an end succeeded."""
    return [
        succeeded(cell, results)
        for cell in results["cells"]
        if (cell["method"], cell["lr"], cell["value"]) == (about["method"], lr, value) and cell["state"] != "missing"
    ]


def table(results: Results) -> Table:
    """Return the share of the area that works, a row for each method."""
    columns = ("", "succeed", "%", "95 %", "all seeds", "stopped", "HQ %", "s")
    rows = tuple(_row(panel, about, results) for panel, about in zip(panels(results), results["methods"], strict=True))
    seeds = len(results["seeds"])
    limit = results["success"]
    note = (
        f"{results['steps']:,} steps a run. A run succeeds with all {limit['modes']} modes and at least "
        f"{100 * limit['high_quality']:g} % of 50,000 samples of high quality. %: of all runs, with Wilson's 95 % "
        f"interval (runs of one setting are alike, so it is rather too narrow). All seeds: settings in which each of "
        f"the {seeds} seeds succeeds. Stopped: a loss was not finite; that is no success. HQ %: the median. s: seconds "
        f"a run."
    )
    return Table(f"Stability on the {results['data']} data", columns, rows, note)


def _row(panel: Panel, about: Mapping[str, Any], results: Results) -> tuple[str, ...]:
    cells = [cell for cell in results["cells"] if cell["method"] == about["method"] and cell["state"] != "missing"]
    counts = [count for line in panel.counts for count in line]
    won, runs = (sum(part) for part in zip(*counts, strict=True))
    low, high = wilson(won, runs)
    whole = sum(k == n == len(results["seeds"]) for k, n in counts)
    qualities = [100 * cell["scores"]["high_quality"] for cell in cells if cell["scores"]]
    return (
        about["label"],
        f"{won}/{runs}",
        f"{100 * won / runs:.0f}" if runs else NONE,
        f"{100 * low:.0f}-{100 * high:.0f}",
        f"{whole}/{len(counts)}",
        str(sum(cell["state"] == "stopped" for cell in cells)),
        f"{median(qualities):.1f}" if qualities else NONE,
        f"{fmean(cell['seconds'] for cell in cells):.0f}" if cells else NONE,
    )


def markdown(results: Results) -> str:
    """Return the page: where the numbers come from, the shares, and what was varied."""
    parts = [provenance(results, results["environments"]), table(results).markdown(), _axes(results["methods"])]
    return "\n\n".join(parts) + "\n"


def _axes(methods: Sequence[Mapping[str, Any]]) -> str:
    varied = [f"{m['label']}: {m['axis']} in {', '.join(f'{v:g}' for v in m['values'])}" for m in methods]
    rates = ", ".join(f"{lr:g}" for lr in methods[0]["lrs"])
    return f"Learning rates {rates}; the second axis is {'; '.join(varied)}."
