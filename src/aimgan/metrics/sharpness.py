"""The sharpness of reconstructions, and their error in the background (paper sections 5.2 and A.1)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.metrics.sums import require_same_shape, require_samples

Images = Float[Tensor, "n c h w"]


def sharpness(x: Images, x_z_x: Images) -> dict[str, float]:
    """Compare reconstructions' edges and borders with the images'. Raises AimganError for no images or unequal shapes.

    edge_sharpness  mean absolute difference of neighbouring pixels of the reconstructions over that of the images: 1 is
                    as sharp, less is blurred, more is noisy; 0 where the images themselves are flat
    border_mse      mean squared error over the outer eighth on each side: in centred pictures, the background

    Neither means much alone: noise is sharp, and a constant image may match a border. Read them with the error.
    """
    require_same_shape("reconstructions", x_z_x, x)
    require_samples(len(x))
    edges = _edges(x)
    ratio = _edges(x_z_x) / edges if edges > 0 else 0.0
    h, w = x.shape[-2:]
    top, left = max(1, h // 8), max(1, w // 8)
    border = torch.ones(h, w, dtype=torch.bool, device=x.device)
    border[top:-top, left:-left] = False
    error = (x_z_x - x).square()[..., border]
    return {"edge_sharpness": ratio, "border_mse": float(error.double().mean())}


def _edges(x: Images) -> float:
    return float(x.diff(dim=-1).abs().double().mean() + x.diff(dim=-2).abs().double().mean())
