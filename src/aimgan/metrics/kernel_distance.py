"""Kernel distance of two sets of features (Bińkowski et al., 2018, section 4): KID where they are Inception's.

It is the squared maximum mean discrepancy with the kernel k(x, y) = (x.y / d + 1)^3, d the dimension, in its unbiased
form: E k(x, x') - 2 E k(x, y) + E k(y, y') with different x, x' and different y, y'. It may be negative. Papers often
print 1,000 times it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.distances import require_same_dimension
from aimgan.metrics.sums import require_finite, require_samples


def kernel_distance(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    subsets: int = 100,
    subset_size: int = 1000,
    *,
    generator: torch.Generator,
) -> dict[str, float]:
    """Return kernel_distance and kernel_distance_std: mean and population std over subsets drawn from `generator`.

    Each subset takes `subset_size` rows of x and of y without replacement, or all rows of the smaller set if it has
    fewer. Where that is all of both, there is one subset, and the std is 0. Computed in float64. Raises AimganError for
    fewer than 2 rows, unlike dimensions or numbers that are not finite.
    """
    require_same_dimension("features", y, x)
    if subsets < 1 or subset_size < 2:
        raise AimganError(
            f"got {subsets} subsets of {subset_size}, expected 1 or more of 2 or more; 100 of 1000 is usual"
        )
    for features in (x, y):
        require_samples(len(features), minimum=2)
        require_finite("features", features)
    size = min(subset_size, len(x), len(y))
    if size == len(x) == len(y):
        subsets = 1
    scores = torch.stack([_mmd(_subset(x, size, generator), _subset(y, size, generator)) for _ in range(subsets)])
    return {"kernel_distance": float(scores.mean()), "kernel_distance_std": float(scores.std(correction=0))}


def _subset(x: Float[Tensor, "n d"], size: int, generator: torch.Generator) -> Float[Tensor, "m d"]:
    order = torch.randperm(len(x), generator=generator, device=generator.device)
    return x[order[:size].to(x.device)].double()


def _mmd(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return the unbiased squared MMD of two sets of one size."""
    return _mean_within(x) - 2 * _kernel(x @ y.T, x.shape[1]).mean() + _mean_within(y)


def _mean_within(x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return the mean of k over pairs of different rows."""
    n, d = x.shape
    return (_kernel(x @ x.T, d).sum() - _kernel(x.square().sum(1), d).sum()) / (n * (n - 1))


def _kernel(product: Float[Tensor, "*pairs"], dimension: int) -> Float[Tensor, "*pairs"]:
    return (product / dimension + 1) ** 3
