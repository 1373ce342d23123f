"""How a model's samples are shown: images as tiles, 2-D points as dots on a plane whose pixels are known points.

What is not an image or a dot is transparent or a middle grey, so that a picture suits a light page and a dark one.
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
SMALL, LARGE, GAP = 84, 224, 6  # pixels: about a tile's side, that of one that stands alone, what is between them
ROW = 8  # tiles
SIDE, LEFT, BELOW, EDGE = 640, 66, 48, 12  # pixels: a plane's picture, and what is around its axes
BACKGROUND = 2_000  # samples of the model behind its points


@dataclass(frozen=True)
class Tiles:
    """Images: each of their pixels is a square of whole pixels, without smoothing."""

    def one(self, x: Float[Tensor, "c h w"]) -> Image.Image:
        """Draw one image, large."""
        return _tiles(x[None, None], LARGE)

    def sheet(self, x: Float[Tensor, "r n c h w"]) -> Image.Image:
        """Draw r lines of n images."""
        return _tiles(x, SMALL)

    def named(self, groups: Mapping[str, Float[Tensor, "_ c h w"]], large: bool = False) -> Image.Image:
        """Draw the groups behind each other, ROW images a line."""
        x = torch.cat([images.cpu() for images in groups.values()])
        return _tiles(in_lines(x), LARGE if large else SMALL)


@dataclass(frozen=True)
class Square:
    """A picture of the plane from -limit to limit, both ways."""

    limit: float

    def axes(self, x_name: str = "", y_name: str = "") -> Axes:
        """Return empty axes, of a figure of SIDE pixels."""
        figure = Figure(figsize=(SIDE / 100, SIDE / 100), dpi=100)
        figure.patch.set_alpha(0)
        inner = SIDE - LEFT - EDGE, SIDE - BELOW - EDGE
        axes = figure.add_axes((LEFT / SIDE, BELOW / SIDE, inner[0] / SIDE, inner[1] / SIDE))
        axes.set(xlim=(-self.limit, self.limit), ylim=(-self.limit, self.limit))
        axes.set_xlabel(x_name, fontsize=11)
        axes.set_ylabel(y_name, fontsize=11)
        _plain(axes)
        return axes

    def at(self, pixel: tuple[float, float]) -> tuple[float, float]:
        """Return the point that is drawn at a pixel of the picture; at its edge, one outside of the axes."""
        x = (pixel[0] - LEFT) / (SIDE - LEFT - EDGE)
        y = (SIDE - BELOW - pixel[1]) / (SIDE - BELOW - EDGE)
        first, second = (self.limit * (2 * min(max(part, 0.0), 1.0) - 1) for part in (x, y))
        return first, second


@dataclass(frozen=True)
class Scatter:
    """2-D points, on the model's own samples in pale grey."""

    square: Square
    background: Float[Tensor, "n 2"]

    def one(self, x: Float[Tensor, "2"]) -> Image.Image:
        """Draw one point."""
        return self.named({"": x[None]})

    def sheet(self, x: Float[Tensor, "r c 2"]) -> Image.Image:
        """Draw r lines of c points, each line in a colour of its own."""
        axes = self._axes()
        for line in x.cpu().tolist():
            axes.plot(*zip(*line, strict=True), marker="o", markersize=4, linewidth=0.8, alpha=0.85)
        return rendered(axes)

    def named(self, groups: Mapping[str, Float[Tensor, "_ 2"]], large: bool = False) -> Image.Image:
        """Draw each group in a colour of its own, with their names."""
        axes = self._axes()
        for (name, points), colour in zip(groups.items(), (ORANGE, BLUE, GREEN), strict=False):
            size = 90 if len(points) == 1 else 22
            x, y = points.cpu().numpy().T
            axes.scatter(x, y, s=size, c=colour, label=name, linewidths=0, alpha=0.9)
        if any(groups):
            axes.legend(loc="upper right", frameon=False, labelcolor=GREY, fontsize=11)
        return rendered(axes)

    def _axes(self) -> Axes:
        axes = self.square.axes("$x_1$", "$x_2$")
        x, y = self.background.cpu().numpy().T
        axes.scatter(x, y, s=3, c=GREY, alpha=0.35, linewidths=0)
        return axes


Canvas = Tiles | Scatter  # both draw one sample, a sheet of lines of samples, and groups of them


def canvas_for(model: LatentVariableModel) -> Canvas:
    """Return what draws a model's samples. Raises AimganError where they are neither images nor 2-D points."""
    if len(model.shape) == 3 and model.shape[0] in (1, 3):
        return Tiles()
    if model.shape != (2,):
        raise AimganError(f"this is a model of {model.shape}; the explorer shows images of 1 or 3 channels, 2-D points")
    generator = noise.generator("explorer", "background", device=model.device)
    x = finite(model.generate(BACKGROUND, generator)).cpu()
    return Scatter(Square(1.15 * float(x.abs().quantile(0.995)) + 1e-6), x)


def finite(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return samples that can be drawn. Raises AimganError for NaN and infinite values."""
    if not bool(x.isfinite().all()):
        raise AimganError("the model gives NaN or infinite values, which cannot be drawn: train it anew")
    return x


def in_lines(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "r k c h w"]:
    """Lay images out in lines of ROW; NaN where the last line has none."""
    columns = min(len(x), ROW)
    missing = -len(x) % columns
    return torch.cat((x, torch.full((missing, *x.shape[1:]), torch.nan))).unflatten(0, (-1, columns))


def posterior_figure(q: Posterior) -> Image.Image:
    """Draw q(z|x) of one image: each dimension's mean, one and two standard deviations, over the prior's."""
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
    _plain(axes)
    return rendered(axes)


def rings(axes: Axes) -> None:
    """Draw the circles of the prior's 1, 2 and 3 standard deviations."""
    for sigma in (1, 2, 3):
        axes.add_patch(Circle((0, 0), sigma, fill=False, color=GREY, linewidth=1, alpha=0.7))
        axes.annotate(rf"{sigma}$\sigma$", (0, sigma), fontsize=9, color=GREY, ha="center", va="bottom")


def rendered(axes: Axes) -> Image.Image:
    """Return the axes' figure as pixels, its background transparent."""
    canvas = FigureCanvasAgg(axes.get_figure(root=True))
    canvas.draw()
    return Image.fromarray(np.array(canvas.buffer_rgba()))


def _plain(axes: Axes) -> None:
    axes.patch.set_alpha(0)
    axes.tick_params(labelsize=9, colors=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(GREY)


def _tiles(x: Float[Tensor, "r n c h w"], side: int) -> Image.Image:
    """Lay images out on a transparent sheet; those of NaN are left out."""
    r, n, _, h, w = x.shape
    there = ~x.isnan().flatten(2).any(dim=2).flatten().cpu()
    factor = max(1, round(side / h))
    pixels = to_pixels(x.flatten(0, 1)[there]).repeat(factor, 1).repeat(factor, 2)
    down, across = h * factor + GAP, w * factor + GAP
    sheet = np.zeros((r * down - GAP, n * across - GAP, 4), np.uint8)
    for place, image in zip(there.nonzero()[:, 0].tolist(), pixels, strict=True):
        top, left = place // n * down, place % n * across
        sheet[top : top + down - GAP, left : left + across - GAP] = np.dstack((image, np.full(image.shape[:2], 255)))
    return Image.fromarray(sheet)
