"""Small charts for a web page: lines by step, as SVG that takes the page's colours, light or dark."""

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
POINTS = 400  # longest line: more values are averaged
DECADES = 30.0  # a positive axis is logarithmic where its largest value is this many times its smallest
COLOURS = 8  # lines that can be told apart

# Placeholders for the page's colours: `inline_svg` replaces them by the page's CSS variables.
INK, FAINT, ALARM = "#010203", "#010204", "#010205"
CURVES = [f"#0102{16 + k:02x}" for k in range(COLOURS)]
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", ALARM: "var(--alarm)"}
VARIABLES |= {colour: f"var(--curve-{k})" for k, colour in enumerate(CURVES)}


class Line(NamedTuple):
    """Values by step; `place`, below COLOURS, chooses its colour."""

    steps: Sequence[int]
    values: Sequence[float]
    place: int = 0


def chart(lines: Sequence[Line], spans: Sequence[tuple[int, int]] = ()) -> Figure:
    """Draw lines by step, and shade the spans from a step to a step. Raises ValueError where no line has a point."""
    if not any(line.steps for line in lines):
        raise ValueError("got no points, expected a line with at least one; leave the chart out")
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    for first, last in spans:
        axes.axvspan(first, last, color=ALARM, alpha=0.16, linewidth=0)
        axes.axvline(first, color=ALARM, linewidth=1)
    for line in lines:
        steps, values = thinned(line.steps), thinned(line.values)
        marker = "o" if len(steps) < 9 else ""
        axes.plot(steps, values, color=CURVES[line.place], linewidth=1.4, marker=marker, markersize=3)
    every = np.concatenate([np.asarray(line.values, float) for line in lines])
    _set_axes(axes, every.min(), every.max())
    return figure


def thinned(values: Sequence[float]) -> list[float]:
    """Return at most POINTS values: where there are more, means of equally many neighbours."""
    parts = np.array_split(np.asarray(values, float), min(POINTS, len(values)) or 1)
    return [float(part.mean()) for part in parts if len(part)]


def _set_axes(axes: Axes, low: float, high: float) -> None:
    """Give axes few, plain numbers and a faint grid."""
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if low > 0 and high / low > DECADES:
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
    """Return a figure as an <svg> element for a page, as wide as its container.

    The page defines `--ink`, `--line`, `--alarm` and `--curve-0` to `--curve-7`. Every id begins with `name`, since an
    id may occur only once in a page. The same figure gives the same text.
    """
    buffer = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    _, _, svg = buffer.getvalue().partition("<svg")
    head, _, body = svg.partition(">")
    box = re.search(r'viewBox="[^"]+"', head)
    assert box is not None
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, variable)
    return f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]} role="img">{body.strip()}'
