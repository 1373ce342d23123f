"""The latent map: a plane through the space of codes, and the code at each of its points.

Codes of two dimensions are points of the plane themselves. For more dimensions, the plane is spanned by the first two
principal axes of many codes (PCA). The axes have length one, so that a unit of the map is a unit of the codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from aimgan import noise
from aimgan.explorer.drawing import BLUE, GREEN, ORANGE, Square, finite, rendered, rings
from aimgan.figures import code_grid
from aimgan.figures.blocks import to_pixels
from aimgan.model import LatentVariableModel

SQUARE = Square(3.6)  # the part of the plane that is shown, in standard deviations of the prior
CODES = 1_000  # samples of the model whose codes are shown where there is no folder of images
TILES = 15  # images in a row, where the map shows what the model generates

Code = Float[Tensor, " d"]


@dataclass(frozen=True)
class LatentMap:
    """The plane through `centre` that two unit vectors `axes` span, and codes as points of it."""

    centre: Code
    axes: Float[Tensor, "2 d"]
    share: tuple[float, float]  # the fraction of the codes' variance along each axis
    points: Float[Tensor, "n 2"]

    def point(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n 2"]:
        """Return the projections of codes on the map."""
        return (z - self.centre) @ self.axes.T

    def code(self, points: Float[Tensor, "n 2"], through: Code | None = None) -> Float[Tensor, "n d"]:
        """Return the codes at points of the plane, or of the parallel plane through a code."""
        z = self.centre + points @ self.axes
        if through is None:
            return z
        return z + through - self.centre - self.point(through[None])[0] @ self.axes

    def draw(
        self, model: LatentVariableModel | None, through: Code | None, chosen: Code | None, clicked: tuple[float, float]
    ) -> Image.Image:
        """Draw the codes, or with a model what it generates from a grid of points; the chosen code, the last click."""
        axes = self._axes()
        if model is not None:
            self._draw_images(axes, model, through)
        else:
            x, y = self.points.numpy().T
            axes.scatter(x, y, s=28 if len(x) <= 200 else 7, c=BLUE, alpha=0.5, linewidths=0)
            rings(axes)
        if chosen is not None:
            axes.plot(*self.point(chosen[None])[0].tolist(), "D", color=GREEN, markersize=9, markeredgecolor="white")
        axes.plot(*clicked, "o", color=ORANGE, markersize=12, markeredgecolor="white", markeredgewidth=1.5)
        return rendered(axes)

    def _axes(self) -> Axes:
        if len(self.centre) == 2:
            return SQUARE.axes("$z_1$", "$z_2$")
        first, second = self.share
        name = "principal axis {}: {:.1%} of the variance"
        return SQUARE.axes(name.format(1, first), name.format(2, second))

    def _draw_images(self, axes: Axes, model: LatentVariableModel, through: Code | None) -> None:
        """Fill the axes with the images of a grid of points, each centred on its point."""
        limit = SQUARE.limit
        points = code_grid(TILES, limit - limit / TILES)
        tiles = to_pixels(finite(model.decode(self.code(points, through), inferred=True)))
        _, h, w, _ = tiles.shape
        sheet = tiles.reshape(TILES, TILES, h, w, 3).swapaxes(1, 2).reshape(TILES * h, TILES * w, 3)
        axes.imshow(sheet, extent=(-limit, limit, -limit, limit), aspect="auto", interpolation="antialiased")


def latent_map(codes: Float[Tensor, "n d"]) -> LatentMap:
    """Lay a map through codes: the first two principal axes, or the codes' own axes if there are one or two."""
    codes = codes.cpu().float()
    d = codes.shape[1]
    if d <= 2:
        return LatentMap(torch.zeros(d), torch.eye(2, d), (0.0, 0.0), codes @ torch.eye(2, d).T)
    centre = codes.mean(dim=0)
    deviations = (codes - centre).double()
    values, vectors = torch.linalg.eigh(deviations.T @ deviations)  # from the smallest to the largest
    second, first = (values[-2:] / values.sum().clamp(min=1e-12)).tolist()
    axes = vectors[:, -2:].flip(1).T.float()
    return LatentMap(centre, axes, (first, second), (codes - centre) @ axes.T)


def own_codes(model: LatentVariableModel) -> Float[Tensor, "n d"]:
    """Return the codes that the encoder infers from the model's own samples, or draws of the prior without encoder."""
    generator = noise.generator("explorer", "map", device=model.device)
    if model.E is None:
        return model.prior.sample(CODES, generator).cpu()
    return model.encode(model.generate(CODES, generator), generated=True).mean.cpu()
