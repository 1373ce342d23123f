"""The common style of the paper's figures: sizes, colours, a page with its caption, and text that fits."""

from __future__ import annotations

from math import ceil
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from aimgan.figures.drawing import Drawing
from aimgan.figures.points import SOFT

DPI = 300
MARGIN = 0.08  # inches
LABEL, SMALL = 9.0, 7.0  # points: names, and small text
LINE = 1.3  # the height of a line of text over its size
MEAN_WIDTH = 0.6  # of a character over the size of the text

# Ten colours that stay apart under colour-vision deficiencies: "muted" of Tol (2021, Colour Schemes, SRON technical
# note EPS/TN/09-002) and black. The order separates digits whose codes are neighbours (3 5 8, 4 7 9).
PALETTE = (
    "#332288", "#cc6677", "#117733", "#88ccee", "#882255", "#999933", "#aa4499", "#44aa99", "#000000", "#ddcc77",
)  # fmt: skip


def page(width: float, height: float, caption: str) -> Figure:
    """Return an empty figure of `width` by `height` inches, with its caption in small text below."""
    text = wrapped(caption, SMALL, 72 * (width - 2 * MARGIN))
    if not text:
        return Drawing(figsize=(width, height), dpi=DPI)
    below = ceil(DPI * (height_of(text, SMALL) / 72 + MARGIN)) / DPI  # a whole number of dots
    figure = Drawing(figsize=(width, height + below), dpi=DPI)
    x, y = MARGIN / width, MARGIN / (height + below)
    figure.text(x, y, text, va="bottom", fontsize=SMALL, color=SOFT, linespacing=LINE)
    return figure


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes to a figure, `left` and `top` inches from its upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def plain(axes: Axes, x_name: str, y_name: str) -> None:
    """Name the axes, draw a faint grid and no box, and write logarithmic ticks as plain numbers (0.02, 0.05, 0.1)."""
    axes.set_xlabel(x_name, fontsize=LABEL)
    axes.set_ylabel(y_name, fontsize=LABEL)
    axes.tick_params(labelsize=SMALL + 1, which="both")
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())


def width_of(text: str, size: float) -> float:
    """Return the width in points of a text of `size` points, which is that of its widest line."""
    widest = 0.0
    for line in text.split("\n"):
        if line.strip():
            widest = max(widest, float(TextPath((0, 0), line, size=size).get_extents().width))
    return widest


def height_of(text: str, size: float) -> float:
    """Return the height in points of a text of `size` points."""
    return LINE * size * len(text.split("\n"))


def wrapped(text: str, size: float, width: float) -> str:
    """Break a text into lines of about `width` points; a longer word has a line of its own."""
    columns = max(1, int(width / (MEAN_WIDTH * size)))
    lines = [fill(line, columns, break_long_words=False) for line in text.split("\n")]
    return "\n".join(lines)
