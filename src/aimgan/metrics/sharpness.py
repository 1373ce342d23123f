"""How sharp reconstructions are, and how well they keep what surrounds the subject (paper sections 5.2 and A.1)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.metrics.sums import require_same_shape, require_samples


def sharpness(x: Float[Tensor, "n c h w"], x_z_x: Float[Tensor, "n c h w"]) -> dict[str, float]:
    """Compare reconstructions' edges and borders with the images'.

    edge_sharpness  mean absolute difference of neighbouring pixels of the reconstructions over the images' own: 1 as
                    sharp, less blurred, more noisy; 0 where the images themselves are flat
    border_mse      mean squared error over the outer eighth on each side: in centred pictures, the background

    Both are fooled by themselves: noise is sharp, a constant has the border of a black one. Read them with the error.
    """
    require_same_shape("reconstructions", x_z_x, x)
    require_samples(len(x))
    edges = _edges(x)
    error = (x_z_x - x).square()[..., _border(x)]
    return {"edge_sharpness": _edges(x_z_x) / edges if edges else 0.0, "border_mse": float(error.double().mean())}


def _edges(x: Float[Tensor, "n c h w"]) -> float:
    return float(x.diff(dim=-1).abs().double().mean() + x.diff(dim=-2).abs().double().mean())


def _border(x: Float[Tensor, "n c h w"]) -> Tensor:
    h, w = x.shape[-2:]
    outside = torch.ones(h, w, dtype=torch.bool, device=x.device)
    outside[max(1, h // 8) : -max(1, h // 8), max(1, w // 8) : -max(1, w // 8)] = False
    return outside
