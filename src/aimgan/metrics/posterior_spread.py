"""The width of q(z|x) for real x, measured by comparing x with images G(z), z ~ q(z|x) (docs/science.md 4.9).

If x is like one more draw, it is as far from the draws as they are from each other. With s^2 the draws' variance and b
the distance of their mean from x, the ratio is 2 s^2 / (s^2 + b^2), from 0 to 2.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from aimgan.metrics.sums import require_finite, require_same_shape, require_samples

_BLOCK = 100  # images at a time: their draws are in memory in float64


def posterior_images(x: Float[Tensor, "n *shape"], near: Float[Tensor, "n m *shape"]) -> dict[str, float]:
    """Compare each real image with m images drawn from its posterior; errors are means over pixels, in float64.

    neighbour_mse          mean squared error between an image and its draws
    neighbour_diversity    mean squared error between two different draws of an image: twice their unbiased variance
    neighbour_ratio        the second over the first: 1 if the image is like one of its draws, less if the draws are too
                           close to each other (0: a point), more if they are too far; 0 for 0 / 0

    Raises AimganError for no images, fewer than 2 draws of an image, different shapes or numbers that are not finite.
    """
    require_samples(len(x))
    require_samples(near.shape[1], minimum=2)
    require_same_shape("draws", near[:, 0], x)
    error, diversity = 0.0, 0.0
    for images, draws in zip(x.split(_BLOCK), near.split(_BLOCK), strict=True):
        require_finite("images", images)
        require_finite("images", draws)
        images, draws = images.double().flatten(1), draws.double().flatten(2)
        error += float((draws - images[:, None]).square().mean((1, 2)).sum()) / len(x)
        diversity += float(2 * draws.var(1, correction=1).mean(1).sum()) / len(x)
    ratio = diversity / error if error > 0 else 0.0
    return {"neighbour_mse": error, "neighbour_diversity": diversity, "neighbour_ratio": ratio}
