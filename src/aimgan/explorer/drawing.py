"""Drawing of samples: images as tiles, 2-D points as dots in a plane on which a click can be located.

Backgrounds are transparent and lines are grey, so that pictures suit a light page and a dark one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.figures.blocks import to_pixels
from aimgan.model import LatentVariableModel
from aimgan.networks import Posterior

GREY, BLUE, ORANGE, GREEN = "#8a929e", "#3b82c4", "#e8590c", "#2b9348"
SMALL, LARGE, GAP = 84, 224, 6  # pixels: about the side of a tile, the side of a single image, and between tiles
ROW = 8  # tiles in a row
SIDE, LEFT, BELOW, EDGE = 640, 66, 48, 12  # pixels: the side of a picture of a plane, and the margins of its axes
BACKGROUND = 2_000  # samples of the model behind its points


@dataclass(frozen=True)
class Tiles:
    """Draws images: every pixel becomes a square of whole pixels, without smoothing."""

    kind = "image"

    def one(self, x: Float[Tensor, "c h w"]) -> Image.Image:
        """Draw one large image."""
        return _tiles(x[None], 1, LARGE)

    def sheet(self, x: Float[Tensor, "r n c h w"]) -> Image.Image:
        """Draw r rows of n images."""
        return _tiles(x.flatten(0, 1), x.shape[1], SMALL)

    def groups(self, groups: Mapping[str, Float[Tensor, "_ c h w"]], large: bool = False) -> Image.Image:
        """Draw the images of all groups one after another, ROW images in a row."""
        x = torch.cat(list(groups.values()))
        return _tiles(x, min(len(x), ROW), LARGE if large else SMALL)


@dataclass(frozen=True)
class Square:
    """The part of a plane from -limit to limit in both directions, and its picture."""

    limit: float

    def axes(self, x_name: str, y_name: str) -> Axes:
        """Return empty axes in a figure of SIDE x SIDE pixels."""
        figure = Figure(figsize=(SIDE / 100, SIDE / 100), dpi=100)
        figure.patch.set_alpha(0)
        width, height = SIDE - LEFT - EDGE, SIDE - BELOW - EDGE
        axes = figure.add_axes((LEFT / SIDE, BELOW / SIDE, width / SIDE, height / SIDE))
        axes.set(xlim=(-self.limit, self.limit), ylim=(-self.limit, self.limit))
        axes.set_xlabel(x_name, fontsize=11)
        axes.set_ylabel(y_name, fontsize=11)
        _soften(axes)
        return axes

    def at(self, pixel: tuple[float, float]) -> tuple[float, float]:
        """Return the point of the plane at a pixel of the picture; in the margins, the nearest point inside."""
        x = np.interp(pixel[0], (LEFT, SIDE - EDGE), (-self.limit, self.limit))
        y = np.interp(pixel[1], (EDGE, SIDE - BELOW), (self.limit, -self.limit))
        return float(x), float(y)


@dataclass(frozen=True)
class Scatter:
    """Draws 2-D points, over samples of the model in pale grey."""

    kind = "point"
    square: Square
    background: Float[Tensor, "n 2"]

    def one(self, x: Float[Tensor, "2"]) -> Image.Image:
        """Draw one point."""
        return self.groups({"": x[None]})

    def sheet(self, x: Float[Tensor, "r c 2"]) -> Image.Image:
        """Draw r lines through c points, each in its own colour."""
        axes = self._axes()
        for line in x.numpy():
            axes.plot(*line.T, marker="o", markersize=4, linewidth=0.8, alpha=0.85)
        return rendered(axes)

    def groups(self, groups: Mapping[str, Float[Tensor, "_ 2"]], large: bool = False) -> Image.Image:
        """Draw each group in its own colour, with a legend of the names."""
        axes = self._axes()
        for (name, points), colour in zip(groups.items(), (ORANGE, BLUE, GREEN), strict=False):
            x, y = points.numpy().T
            axes.scatter(x, y, s=90 if len(x) == 1 else 22, c=colour, label=name, linewidths=0, alpha=0.9)
        if any(groups):
            axes.legend(loc="upper right", frameon=False, labelcolor=GREY, fontsize=11)
        return rendered(axes)

    def _axes(self) -> Axes:
        axes = self.square.axes("$x_1$", "$x_2$")
        x, y = self.background.numpy().T
        axes.scatter(x, y, s=3, c=GREY, alpha=0.35, linewidths=0)
        return axes


Canvas = Tiles | Scatter  # both draw one sample, a sheet of rows of samples, and groups of samples


def canvas_for(model: LatentVariableModel) -> Canvas:
    """Return what draws a model's samples. Raises AimganError unless they are images or 2-D points."""
    if len(model.shape) == 3 and model.shape[0] in (1, 3):
        return Tiles()
    if model.shape != (2,):
        raise AimganError(
            f"samples of this model have shape {model.shape}; the explorer shows images of 1 or 3 channels, 2-D points"
        )
    x = finite(model.generate(BACKGROUND, noise.generator("explorer", "background", device=model.device))).cpu()
    return Scatter(Square(1.15 * float(x.abs().quantile(0.995)) + 1e-6), x)


def finite(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return samples that can be drawn. Raises AimganError for NaN and infinite values."""
    if not bool(x.isfinite().all()):
        raise AimganError("the model gives NaN or infinite values, which cannot be drawn: train it again")
    return x


def posterior_figure(q: Posterior) -> Image.Image:
    """Draw q(z|x) of one image: mean, one and two standard deviations of each dimension, over those of the prior."""
    mean, deviation = q.mean[0].cpu().numpy(), q.variance[0].sqrt().cpu().numpy()
    d = len(mean)
    figure = Figure(figsize=(7.2, 2.6), dpi=150, layout="constrained")
    figure.patch.set_alpha(0)
    axes, k = figure.add_subplot(), np.arange(1, d + 1)
    for width in (1, 2):
        axes.axhspan(-width, width, color=GREY, alpha=0.13, linewidth=0)
    axes.vlines(k, mean - 2 * deviation, mean + 2 * deviation, color=BLUE, linewidth=1)
    axes.vlines(k, mean - deviation, mean + deviation, color=BLUE, linewidth=min(5, 160 / d))
    axes.scatter(k, mean, s=min(30, 900 / d), color=ORANGE, zorder=3)
    axes.set_xlim(0.3, d + 0.7)
    axes.set_xlabel("dimension of z", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _soften(axes)
    return rendered(axes)


def rings(axes: Axes) -> None:
    """Draw circles at 1, 2 and 3 standard deviations of the prior."""
    for sigma in (1, 2, 3):
        axes.add_patch(Circle((0, 0), sigma, fill=False, color=GREY, linewidth=1, alpha=0.7))
        axes.annotate(rf"{sigma}$\sigma$", (0, sigma), fontsize=9, color=GREY, ha="center", va="bottom")


def rendered(axes: Axes) -> Image.Image:
    """Return the figure of these axes as an image with a transparent background."""
    canvas = FigureCanvasAgg(axes.get_figure(root=True))
    canvas.draw()
    return Image.fromarray(np.array(canvas.buffer_rgba()))


def _soften(axes: Axes) -> None:
    """Make axes transparent and their lines and labels grey."""
    axes.patch.set_alpha(0)
    axes.tick_params(labelsize=9, colors=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(GREY)


def _tiles(x: Float[Tensor, "n c h w"], columns: int, side: int) -> Image.Image:
    """Lay images of about `side` pixels out in rows, on a transparent sheet."""
    factor = max(1, round(side / x.shape[2]))
    pixels = to_pixels(x).repeat(factor, 1).repeat(factor, 2)
    n, h, w, _ = pixels.shape
    rows = -(-n // columns)
    tiles = np.zeros((rows * columns, h + GAP, w + GAP, 4), np.uint8)
    tiles[:n, :h, :w, :3] = pixels
    tiles[:n, :h, :w, 3] = 255
    sheet = tiles.reshape(rows, columns, h + GAP, w + GAP, 4).swapaxes(1, 2)
    return Image.fromarray(sheet.reshape(rows * (h + GAP), -1, 4)[:-GAP, :-GAP])
