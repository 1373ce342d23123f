"""Grids of images, pixel for pixel."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

MARGIN = 2  # pixels


def grid(images: Float[Tensor, "n c h w"], columns: int, smallest_side: int = 64) -> Image.Image:
    """Lay images of [0, 1] out in rows of `columns` with white margins; small ones are enlarged without smoothing."""
    n, c, h, w = images.shape
    factor = max(1, round(smallest_side / h))
    pixels = (images.detach().cpu().clamp(0, 1) * 255).round().byte()
    pixels = pixels.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    if c != 3:
        pixels = pixels[:, :1].expand(-1, 3, -1, -1)
    h, w = h * factor + MARGIN, w * factor + MARGIN
    rows = -(-n // columns)
    sheet = np.full((rows * h + MARGIN, columns * w + MARGIN, 3), 255, np.uint8)
    for k, image in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        top = MARGIN + (k // columns) * h
        left = MARGIN + (k % columns) * w
        sheet[top : top + h - MARGIN, left : left + w - MARGIN] = image
    return Image.fromarray(sheet)


def pairs(x: Float[Tensor, "n c h w"], x_z_x: Float[Tensor, "n c h w"]) -> Float[Tensor, "m c h w"]:
    """Interleave as figure 2 does: odd columns are the originals, even columns their reconstructions."""
    return torch.stack((x, x_z_x.to(x)), dim=1).flatten(0, 1)
