"""Curves of a run, from its metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from matplotlib.figure import Figure

from aimgan.checked import numbers
from aimgan.figures.drawing import Drawing

MAX_STEP = 2**53  # larger numbers are not exact on an axis
MAX_PANELS, COLUMNS = 99, 3
NOT_DRAWN = {"step", "lr", "epoch", "steps_per_second", "images_per_second"}


def curves(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw a small panel for each number of a run's rows by step: losses, their terms, scores."""
    drawn: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if abs(row["step"]) < MAX_STEP:  # the file may hold anything
            for name, value in numbers(row).items():
                drawn.setdefault(name, []).append((row["step"], value))
    names = [name for name in drawn if name not in NOT_DRAWN][:MAX_PANELS]
    lines = max(1, ceil(len(names) / COLUMNS))
    figure = Drawing(figsize=(12, 2.6 * lines + 0.4), dpi=110, layout="constrained")
    panels = figure.subplots(lines, COLUMNS, squeeze=False).flatten()
    for axes, name in zip(panels, names, strict=False):
        steps, values = zip(*drawn[name], strict=True)
        marker = "o" if len(steps) < 30 else None
        axes.plot(steps, values, linewidth=1.1, marker=marker, markersize=3)
        axes.set_title(name, fontsize=10, parse_math=False)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    for axes in panels[len(names) :]:
        axes.remove()
    figure.suptitle(title, fontsize=12)
    figure.supxlabel("step", fontsize=10)
    return figure
