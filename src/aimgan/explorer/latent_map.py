"""A plane through the space of codes: what lies on it, and which code a point of its picture is.

Codes of two dimensions are their own plane. Of more it is spanned by the first two principal axes of many codes (PCA):
directions of length one, so that a unit on the map is the prior's standard deviation, as it is in every dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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

LIMIT = 3.6  # standard deviations of the prior: the map's edge
CODES = 1_000  # of the model's own samples, where there is no folder
TILES = 15  # images a side, where the map shows what the model makes of its points

Code = Float[Tensor, " d"]


@dataclass(frozen=True)
class LatentMap:
    """The plane `centre` + span of the two `axes`, with the codes that it was laid through, as points (n, 2) of it."""

    centre: Code
    axes: Float[Tensor, "2 d"]
    share: tuple[float, float]  # of the codes' variance, along each axis
    points: Float[Tensor, "n 2"]
    square: Square = field(default=Square(LIMIT))

    def point(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n 2"]:
        """Return where codes lie on the map: their projections."""
        return (z.cpu() - self.centre) @ self.axes.T

    def code(self, points: Float[Tensor, "n 2"], through: Code | None = None) -> Float[Tensor, "n d"]:
        """Return the codes at points: of the plane itself, or of the one that is parallel to it through a code."""
        z = self.centre + points @ self.axes
        if through is None:
            return z
        rest = through.cpu() - self.centre - self.point(through[None])[0] @ self.axes
        return z + rest

    def draw(
        self, model: LatentVariableModel, images: bool, through: Code | None = None, chosen: Code | None = None,
        clicked: tuple[float, float] | None = None,
    ) -> Image.Image:  # fmt: skip
        """Draw the codes as dots, or what the model makes of a grid of points; the chosen image's, the last click."""
        axes = self.square.axes(*self._names())
        if images:
            _draw_images(axes, model, self, through)
        else:
            size = 28 if len(self.points) <= 200 else 7
            x, y = self.points.numpy().T
            axes.scatter(x, y, s=size, c=BLUE, alpha=0.5, linewidths=0)
            rings(axes)
        if chosen is not None:
            axes.plot(*self.point(chosen[None])[0].tolist(), "D", color=GREEN, markersize=9, markeredgecolor="white")
        if clicked is not None:
            axes.plot(*clicked, "o", color=ORANGE, markersize=12, markeredgecolor="white", markeredgewidth=1.5)
        return rendered(axes)

    def _names(self) -> tuple[str, str]:
        if len(self.centre) == 2:
            return "$z_1$", "$z_2$"
        first, second = (f"principal axis {k}: {share:.1%} of the variance" for k, share in enumerate(self.share, 1))
        return first, second


def latent_map(codes: Float[Tensor, "n d"]) -> LatentMap:
    """Lay a map through codes: the plane itself of 2 dimensions, else that of their first two principal axes."""
    codes = codes.cpu().float()
    d = codes.shape[1]
    if d <= 2:
        axes, centre, share = torch.eye(2, d), torch.zeros(d), (0.0, 0.0)
    else:
        centre = codes.mean(dim=0)
        _, values, axes = torch.linalg.svd(codes - centre, full_matrices=False)
        spread = values.square() / values.square().sum().clamp(min=1e-12)
        axes, share = _rows(axes, 2), (float(spread[0]), float(spread[1:2].sum()))
    return LatentMap(centre, axes, share, (codes - centre) @ axes.T)


def own_codes(model: LatentVariableModel) -> Float[Tensor, "n d"]:
    """Return what the encoder makes of the model's own samples; draws of the prior where there is no encoder."""
    generator = noise.generator("explorer", "map", device=model.device)
    if model.E is None:
        return model.prior.sample(CODES, generator).cpu()
    return model.encode(model.generate(CODES, generator), generated=True).mean.cpu()


def _rows(axes: Float[Tensor, "k d"], n: int) -> Float[Tensor, "n d"]:
    """Return the first n axes; fewer codes than axes leave the others zero."""
    missing = torch.zeros(max(0, n - len(axes)), axes.shape[1])
    return torch.cat((axes, missing))[:n]


def _draw_images(axes: Axes, model: LatentVariableModel, here: LatentMap, through: Code | None) -> None:
    """Fill the map with the images of a grid of points, each centred on its point."""
    step = 2 * here.square.limit / TILES
    points = code_grid(TILES, here.square.limit - step / 2)
    tiles = to_pixels(finite(model.decode(here.code(points, through), inferred=True)))
    _, h, w, _ = tiles.shape
    sheet = tiles.reshape(TILES, TILES, h, w, 3).swapaxes(1, 2).reshape(TILES * h, TILES * w, 3)
    limit = here.square.limit
    axes.imshow(sheet, extent=(-limit, limit, -limit, limit), aspect="auto", interpolation="antialiased")
