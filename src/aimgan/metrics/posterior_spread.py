"""Is q(z|x) as wide as it should be for real x? Images G(z), z ~ q(z|x), beside x itself (science.md 4.9).

Calibration is measured on G(z), whose codes are known; a real image's are not. But its draws can be compared: if x is
like one more draw, it is as far from them as they are from each other, whatever the distance's size.

With s^2 the variance of the draws and b their mean's distance from x, the ratio is 2 s^2 / (s^2 + b^2), from 0 to 2. It
can be gamed as calibration can: draws from the prior, if they look like the data, score 1. So the errors stand beside.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.metrics.sums import require_finite, require_same_shape, require_samples

_BLOCK = 100  # images at a time: their draws are held in float64


def posterior_images(x: Float[Tensor, "n *shape"], near: Float[Tensor, "n m *shape"]) -> dict[str, float]:
    """Compare each real image with m images drawn from its posterior; errors are means over pixels, in float64.

    neighbour_mse          mean squared error between an image and its draws
    neighbour_diversity    mean squared error between two different draws of an image: twice their unbiased variance
    neighbour_ratio        the second over the first: 1 if the image is like one of its draws, less if these are too
                           close to each other for how far they are from it (0: a point), more if too far; 0 for 0 / 0

    Raises AimganError for no images, fewer than 2 draws an image, unlike shapes or numbers that are not finite.
    """
    require_samples(len(x))
    require_samples(near.shape[1], minimum=2)
    require_same_shape("draws", near[:, 0], x)
    parts = [_sums(a, b) for a, b in zip(x.split(_BLOCK), near.split(_BLOCK), strict=True)]
    mse, diversity = (torch.stack(parts).sum(0) / len(x)).tolist()
    return {"neighbour_mse": mse, "neighbour_diversity": diversity, "neighbour_ratio": diversity / mse if mse else 0.0}


def _sums(x: Float[Tensor, "n *shape"], near: Float[Tensor, "n m *shape"]) -> Float[Tensor, "2"]:
    """Each image's error from its draws and that between them, summed over images."""
    for images in (x, near):  # a block at a time: the check takes as much memory as they do
        require_finite("images", images)
    image, draws = x.double().flatten(1), near.double().flatten(2)
    mse = (draws - image[:, None]).square().mean((1, 2)).sum()
    return torch.stack([mse, 2 * draws.var(1, correction=1).mean(1).sum()])
