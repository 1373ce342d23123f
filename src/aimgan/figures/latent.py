"""Figure 4: a 2-D latent space, as the codes of data and as the images it holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from aimgan.figures.blocks import Images, to_pixels
from aimgan.figures.points import SOFT
from aimgan.figures.style import DPI, LABEL, PALETTE, SMALL, page, panel, plain

PANEL = 3.4  # inches, about: a panel's side
LEFT, TOP, RIGHT, BOTTOM = 0.55, 0.32, 0.12, 0.5  # inches around it
EDGE, LETTER = 3.9, 0.36  # standard deviations: the map's edge, and a letter's height on it

Codes = Float[Tensor, "n 2"]
Labels = Int[Tensor, " n"]


def code_grid(side: int, limit: float) -> Float[Tensor, "m 2"]:
    """Return the codes whose images `manifold` takes: line by line, the first with the largest z2, z1 rising in it."""
    ticks = torch.linspace(-limit, limit, side)
    z2, z1 = torch.meshgrid(ticks.flip(0), ticks, indexing="ij")
    return torch.stack((z1, z2), dim=-1).flatten(0, 1)


def latent_map(codes: Codes, labels: Labels, caption: str) -> Figure:
    """Figure 4, left: the codes of data coloured by class 0 to 9, in the prior's circle of 3 standard deviations."""
    figure = page(LEFT + PANEL + RIGHT, TOP + PANEL + BOTTOM, caption)
    _draw_codes(panel(figure, LEFT, TOP, PANEL, PANEL), codes, labels)
    return figure


def manifold(images: Images, side: int, limit: float, caption: str) -> Figure:
    """Figure 4, right: G over `code_grid(side, limit)`, each image centred on its code."""
    size = _whole(images, side)
    figure = page(LEFT + size + RIGHT, RIGHT + size + BOTTOM, caption)
    _draw_manifold(panel(figure, LEFT, RIGHT, size, size), images, side, limit)
    return figure


def figure4(codes: Codes, labels: Labels, images: Float[Tensor, "k c h w"], limit: float, caption: str) -> Figure:
    """Figure 4: (a) the codes of data, the square of (b) dashed in it, beside (b) the images of that square."""
    side = round(len(images) ** 0.5)
    size = _whole(images, side)
    figure = page(2 * (LEFT + size + RIGHT), TOP + size + BOTTOM, caption)
    left = panel(figure, LEFT, TOP, size, size)
    right = panel(figure, 2 * LEFT + size + RIGHT, TOP, size, size)
    _draw_codes(left, codes, labels)
    left.add_patch(Rectangle((-limit, -limit), 2 * limit, 2 * limit, fill=False, linestyle="--", linewidth=0.8))
    _draw_manifold(right, images, side, limit)
    for axes, text in ((left, "(a)"), (right, "(b)")):
        axes.text(-0.11, 1.02, text, transform=axes.transAxes, fontsize=LABEL, va="bottom")
    right.set_title("G(z) over the dashed square", fontsize=LABEL)
    return figure


def _whole(images: Images, side: int) -> float:
    """Return the panel's side in inches, near PANEL, on which each pixel takes a whole number of dots."""
    n, _, height, width = images.shape
    if n != side**2 or height != width or side < 2:
        raise ValueError(f"got {n} images of {height} x {width}, expected {side**2} square ones; see code_grid")
    pixels = side * height
    return pixels * max(1, round(PANEL * DPI / pixels)) / DPI


def _draw_codes(axes: Axes, codes: Codes, labels: Labels) -> None:
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(PALETTE):
        raise ValueError(f"got classes {int(labels.min())} to {int(labels.max())}, expected 0 to 9; renumber them")
    z, digits = np.asarray(codes.detach().cpu()), np.asarray(labels.cpu())
    colours = np.array(PALETTE)[digits]
    axes.scatter(z[:, 0], z[:, 1], s=3.0, c=colours, alpha=0.7, linewidths=0, rasterized=True)
    axes.add_patch(Circle((0, 0), 3, fill=False, color=SOFT, linewidth=0.9))
    axes.annotate(r"3$\sigma$", (0, 3), fontsize=SMALL + 1, color=SOFT, ha="center", va="bottom")
    outside = int((np.abs(z) > EDGE).any(axis=1).sum())
    if outside:
        text = f"{outside:,} outside"
        axes.text(0.98, 0.02, text, transform=axes.transAxes, ha="right", fontsize=SMALL, color=SOFT)
    axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal", xticks=range(-3, 4), yticks=range(-3, 4))
    plain(axes, "$z_1$", "$z_2$")
    axes.grid(visible=False)
    _name_classes(axes, z, digits)


def _name_classes(axes: Axes, z: np.ndarray, digits: np.ndarray) -> None:
    """Write each class on the median of its codes, and the legend over the map."""
    shown = [int(digit) for digit in np.unique(digits)]
    medians = [np.clip(np.median(z[digits == digit], axis=0), -EDGE, EDGE) for digit in shown]
    outline = withStroke(linewidth=2.5, foreground="white")
    for digit, (x, y) in zip(shown, _apart(medians), strict=True):
        name = axes.text(x, y, str(digit), ha="center", va="center", fontsize=LABEL + 1, fontweight="bold")
        name.set_path_effects([outline])
    dots = [Line2D([], [], linestyle="", marker="o", markersize=4, color=PALETTE[digit]) for digit in shown]
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "borderaxespad": 0.1}
    look: dict[str, Any] = {"ncols": 10, "frameon": False, "fontsize": SMALL + 1}
    tight: dict[str, Any] = {"handletextpad": 0.1, "columnspacing": 0.8, "handlelength": 1.0}
    axes.legend(dots, [str(digit) for digit in shown], **place, **look, **tight)


def _apart(points: Sequence[np.ndarray]) -> np.ndarray:
    """Push points that are less than a letter's height from each other apart, as little as it takes."""
    at = np.array(points, float).reshape(-1, 2)
    for _, a, b in product(range(100), range(len(at)), range(len(at))):
        way = at[b] - at[a]
        length = float(np.linalg.norm(way))
        if a < b and length < LETTER:
            unit = way / length if length else np.array((1.0, 0.0))
            at[a], at[b] = at[a] - unit * (LETTER - length) / 2, at[b] + unit * (LETTER - length) / 2
    return at


def _draw_manifold(axes: Axes, images: Images, side: int, limit: float) -> None:
    tiles = to_pixels(images)
    _, height, width, _ = tiles.shape
    sheet = tiles.reshape(side, side, height, width, 3).swapaxes(1, 2).reshape(side * height, side * width, 3)
    edge = limit * side / (side - 1)  # half an image beyond the outermost codes
    axes.imshow(sheet, extent=(-edge, edge, -edge, edge), interpolation="nearest", aspect="auto")
    plain(axes, "$z_1$", "$z_2$")
    axes.grid(visible=False)
    axes.set(xticks=np.linspace(-limit, limit, 5), yticks=np.linspace(-limit, limit, 5))
