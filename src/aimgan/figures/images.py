"""Figures of images: grids, pixel for pixel."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

MARGIN = 2


def grid(images: Float[Tensor, "n c h w"], columns: int, smallest_side: int = 64) -> Image.Image:
    """Lay images in [0, 1] out in rows of `columns`, with white margins, small ones enlarged without smoothing."""
    n, c, h, w = images.shape
    factor = max(1, round(smallest_side / h))
    pixels = F.interpolate(images.detach().cpu(), scale_factor=factor, mode="nearest") if factor > 1 else images.cpu()
    rows, h, w = -(-n // columns), h * factor + MARGIN, w * factor + MARGIN
    sheet = np.full((rows * h + MARGIN, columns * w + MARGIN, 3), 255, np.uint8)
    for k, image in enumerate((pixels.clamp(0, 1) * 255).round().byte().numpy()):
        top, left = MARGIN + (k // columns) * h, MARGIN + (k % columns) * w
        colours = image if c == 3 else image[:1].repeat(3, axis=0)
        sheet[top : top + h - MARGIN, left : left + w - MARGIN] = colours.transpose(1, 2, 0)
    return Image.fromarray(sheet)


def pairs(x: Float[Tensor, "n c h w"], x_z_x: Float[Tensor, "n c h w"]) -> Float[Tensor, "m c h w"]:
    """Interleave as figure 2 does: odd columns the originals, even columns their reconstructions."""
    return torch.stack((x, x_z_x.to(x)), dim=1).flatten(0, 1)
