"""Heat maps of how often training succeeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

COLUMNS = 3


class Panel(NamedTuple):
    """A method's map: `counts` has a row for each y and in it (successes, runs) for each x."""

    title: str
    x_name: str
    x: Sequence[float]
    y_name: str
    y: Sequence[float]
    counts: Sequence[Sequence[tuple[int, int]]]


def stability_map(panels: Sequence[Panel]) -> Figure:
    """Draw a panel for each method: the success rate as colour, successes of runs as a number in each field."""
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns + 1.2, 3.4 * lines), dpi=130, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).flatten()
    for axes, panel in zip(grid, panels, strict=False):
        image = _draw(axes, panel)
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.colorbar(image, ax=list(grid[: len(panels)]), label="share of seeds that succeed", shrink=0.8)
    return figure


def _draw(axes: Axes, panel: Panel) -> AxesImage:
    rates = np.array([[won / runs if runs else np.nan for won, runs in line] for line in panel.counts])
    image = axes.imshow(rates, vmin=0, vmax=1, cmap="cividis", origin="lower", aspect="auto")
    for row, line in enumerate(panel.counts):
        for column, (won, runs) in enumerate(line):
            colour = "black" if runs and won / runs > 0.5 else "white" if runs else "black"
            text = f"{won}/{runs}" if runs else "-"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10)
    axes.set_xticks(range(len(panel.x)), [f"{value:g}" for value in panel.x])
    axes.set_yticks(range(len(panel.y)), [f"{value:g}" for value in panel.y])
    axes.set(xlabel=panel.x_name, ylabel=panel.y_name)
    axes.set_title(panel.title, fontsize=11)
    return image
