"""Figure 4: a 2-D latent space, as the codes of data and as the images it holds."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from aimgan.figures.blocks import Images, to_pixels
from aimgan.figures.points import CODES_LIMIT, SOFT, write_outside
from aimgan.figures.style import DPI, LABEL, PALETTE, SMALL, page, panel, plain

PANEL = 3.4  # inches, about: a panel's side
LEFT, TOP, RIGHT, BOTTOM = 0.55, 0.32, 0.12, 0.5  # inches around it

Codes = Float[Tensor, "n 2"]
Labels = Int[Tensor, " n"]


def code_grid(side: int, limit: float) -> Float[Tensor, "m 2"]:
    """Return side^2 codes on the square from -limit to limit: rows of rising z1, the row of the largest z2 first."""
    ticks = torch.linspace(-limit, limit, side)
    z2, z1 = torch.meshgrid(ticks.flip(0), ticks, indexing="ij")
    return torch.stack((z1, z2), dim=-1).flatten(0, 1)


def figure4(codes: Codes, labels: Labels, images: Float[Tensor, "k c h w"], limit: float, caption: str) -> Figure:
    """Figure 4: (a) codes of data, coloured by class 0 to 9; (b) G over `code_grid(side, limit)`, k = side^2 images.

    The square of (b) is dashed in (a). Raises ValueError for other classes or other numbers and shapes of images.
    """
    side = round(len(images) ** 0.5)
    size = _panel_side(images, side)
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


def _panel_side(images: Images, side: int) -> float:
    """Return the panel's side in inches, near PANEL, on which each pixel takes a whole number of dots."""
    n, _, height, width = images.shape
    if n != side**2 or height != width or side < 2:
        raise ValueError(f"got {n} images of {height} x {width}, expected {side**2} square ones; see code_grid")
    pixels = side * height
    return pixels * max(1, round(PANEL * DPI / pixels)) / DPI


def _draw_codes(axes: Axes, codes: Codes, labels: Labels) -> None:
    """Draw codes coloured by class, in the prior's circle of three standard deviations, under a legend."""
    z, digits = np.asarray(codes.detach().cpu()), np.asarray(labels.cpu())
    shown = np.unique(digits)
    if not np.isin(shown, range(len(PALETTE))).all():
        raise ValueError(f"got classes {shown.min()} to {shown.max()}, expected 0 to 9; renumber them")
    axes.scatter(z[:, 0], z[:, 1], s=3.0, c=np.array(PALETTE)[digits], alpha=0.7, linewidths=0, rasterized=True)
    axes.add_patch(Circle((0, 0), 3, fill=False, color=SOFT, linewidth=0.9))
    axes.annotate(r"3$\sigma$", (0, 3), fontsize=SMALL + 1, color=SOFT, ha="center", va="bottom")
    write_outside(axes, z, CODES_LIMIT, SMALL)
    limits = (-CODES_LIMIT, CODES_LIMIT)
    axes.set(xlim=limits, ylim=limits, aspect="equal", xticks=range(-3, 4), yticks=range(-3, 4))
    plain(axes, "$z_1$", "$z_2$")
    axes.grid(visible=False)
    dots = [Line2D([], [], linestyle="", marker="o", markersize=4, color=PALETTE[k], label=str(k)) for k in shown]
    axes.legend(
        handles=dots, ncols=10, frameon=False, fontsize=SMALL + 1, loc="lower center", bbox_to_anchor=(0.5, 1.0),
        borderaxespad=0.1, handletextpad=0.1, columnspacing=0.8, handlelength=1.0,
    )  # fmt: skip


def _draw_manifold(axes: Axes, images: Images, side: int, limit: float) -> None:
    """Draw the images of a square of codes, each centred on its code."""
    tiles = to_pixels(images)
    _, height, width, _ = tiles.shape
    sheet = tiles.reshape(side, side, height, width, 3).swapaxes(1, 2).reshape(side * height, side * width, 3)
    edge = limit * side / (side - 1)  # half an image beyond the outermost codes
    axes.imshow(sheet, extent=(-edge, edge, -edge, edge), interpolation="nearest", aspect="auto")
    plain(axes, "$z_1$", "$z_2$")
    axes.grid(visible=False)
    axes.set(xticks=np.linspace(-limit, limit, 5), yticks=np.linspace(-limit, limit, 5))
