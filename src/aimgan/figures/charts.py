"""Small charts for a web page: lines by step, as SVG that stands in the page and takes its colours, light or dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

WIDTH, HEIGHT = 3.7, 2.1  # inches
POINTS = 400  # of a line: more are averaged
DECADES = 30.0  # largest over smallest value, from which on a positive axis is logarithmic
COLOURS = 8  # lines that can be told apart

# Colours that stand for the page's own; `inline_svg` puts the page's variables in their place.
INK, FAINT, ALARM = "#010203", "#010204", "#010205"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", ALARM: "var(--alarm)"} | {
    f"#0102{16 + k:02x}": f"var(--curve-{k})" for k in range(COLOURS)
}


class Line(NamedTuple):
    """Values by step; `place`, below COLOURS, says its colour."""

    steps: Sequence[int]
    values: Sequence[float]
    place: int = 0


def chart(lines: Sequence[Line], spans: Sequence[tuple[int, int]] = ()) -> Figure:
    """Draw lines by step; `spans`, from a step to a step, are shaded. Raises ValueError where there is nothing."""
    if not any(line.steps for line in lines):
        raise ValueError("got no points, expected a line of one at least; leave the chart out")
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    for first, last in spans:
        axes.axvspan(first, last, color=ALARM, alpha=0.16, linewidth=0)
        axes.axvline(first, color=ALARM, linewidth=1)
    for line in lines:
        steps, values = thinned(line.steps), thinned(line.values)
        colour = f"#0102{16 + line.place:02x}"
        axes.plot(steps, values, color=colour, linewidth=1.4, marker="o" if len(steps) < 9 else "", markersize=3)
    _axes(axes, [value for line in lines for value in line.values])
    return figure


def thinned(values: Sequence[float]) -> list[float]:
    """Return at most POINTS values: means of as many neighbours each where there are more."""
    if len(values) <= POINTS:
        return [float(value) for value in values]
    return [float(part.mean()) for part in np.array_split(np.asarray(values, float), POINTS)]


def _axes(axes: Axes, values: Sequence[float]) -> None:
    """Give axes few, plain numbers and a faint grid."""
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if min(values) > 0 and max(values) / min(values) > DECADES:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def inline_svg(figure: Figure, name: str) -> str:
    """Return a figure as an <svg> for the inside of a page, as wide as its place there.

    The page gives `--ink`, `--line`, `--alarm` and `--curve-0` to `--curve-7`. `name` goes before every id: a page has
    each only once. The same figure gives the same text.
    """
    buffer = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    head, rest = text[text.index("<svg") :].split(">", 1)
    box = re.search(r'viewBox="[^"]+"', head)
    rest = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", rest)
    for colour, variable in VARIABLES.items():
        rest = rest.replace(colour, variable)
    return f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box[0] if box else ""} role="img">{rest.strip()}'
