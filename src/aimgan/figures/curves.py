"""Curves of a run, from its metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from aimgan.checked import numbers

MAX_STEP, MAX_PANELS = 2**53, 99
NOT_DRAWN = {"step", "lr", "epoch", "steps_per_second", "images_per_second"}


def curves(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """One small panel a number: losses and their terms by step, and what was evaluated on the way."""
    given = [(row["step"], numbers(row)) for row in rows if abs(row["step"]) < MAX_STEP]  # a file may hold anything
    names = [name for name in dict.fromkeys(name for _, row in given for name in row) if name not in NOT_DRAWN]
    names = names[:MAX_PANELS]
    columns = 3
    figure = Figure(figsize=(12, 2.6 * max(1, -(-len(names) // columns)) + 0.4), dpi=110, layout="constrained")
    panels = figure.subplots(max(1, -(-len(names) // columns)), columns, squeeze=False).flatten()
    for axes, name in zip(panels, names, strict=False):
        drawn = [(step, row[name]) for step, row in given if name in row]
        axes.plot(*zip(*drawn, strict=True), linewidth=1.1, marker="o" if len(drawn) < 30 else None, markersize=3)
        axes.set_title(name, fontsize=10, parse_math=False)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    for axes in panels[len(names) :]:
        axes.remove()
    figure.suptitle(title, fontsize=12)
    figure.supxlabel("step", fontsize=10)
    return figure
