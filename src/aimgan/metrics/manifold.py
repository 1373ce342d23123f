"""Precision, recall, density and coverage of samples, by nearest neighbours in feature space.

A set's manifold is the union of balls, one around each row, whose radius is the distance to its k-th nearest other row.

- precision (Kynkäänniemi et al., 2019, equations 1 and 2): the share of samples inside the real manifold.
- recall (the same): the share of real rows inside the samples' manifold.
- density (Naeem et al., 2020, section 3): the mean number of real balls around a sample, over k.
- coverage (the same): the share of real balls that contain a sample.

A ball includes its boundary (<=, as in equation 1 of Kynkäänniemi et al.; the code of Naeem et al. has <).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.distances import nearest_squared, require_same_dimension, within
from aimgan.metrics.sums import require_finite, require_samples

_BLOCK = 1000  # rows of a distance matrix held at once: 80 MB each for 10,000 columns, and as much for its rounding


def manifold_metrics(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int = 5) -> dict[str, float]:
    """Return precision, recall, density, coverage and coverage_expected of fake rows against real ones, in float64.

    coverage_expected is the mean coverage of as many rows of the real data's own distribution. Raises AimganError for
    sets of k rows or fewer, unlike dimensions or numbers that are not finite.
    """
    if k < 1:
        raise AimganError(f"got k = {k}, expected at least 1; 5 is Naeem et al.'s, 3 Kynkäänniemi et al.'s")
    require_same_dimension("fake features", fake, real)
    for features in (real, fake):
        require_samples(len(features), minimum=k + 1)
        require_finite("features", features)
    centre = _centre(real)
    r = real.to(centre) - centre
    f = fake.to(centre) - centre
    r_radii, f_radii = _radii(r, k), _radii(f, k)
    balls = f.new_zeros(len(f))  # real balls around each fake row
    covered = torch.zeros(len(r), dtype=torch.bool, device=r.device)
    recalled = torch.zeros_like(covered)
    for start in range(0, len(f), _BLOCK):
        rows = slice(start, start + _BLOCK)
        in_real, in_fake = within(f[rows], r, (r_radii, f_radii[rows, None]))
        balls[rows] = in_real.sum(1).double()
        covered |= in_real.any(0)
        recalled |= in_fake.any(0)
    return {
        "precision": float((balls > 0).double().mean()),
        "recall": float(recalled.double().mean()),
        "density": float(balls.mean()) / k,
        "coverage": float(covered.double().mean()),
        "coverage_expected": expected_coverage(len(r), len(f), k),
    }


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Return the mean coverage of n real rows by m rows of the same distribution.

    A ball contains none of the m if its k nearest of the n - 1 + m other rows are all real: 1 - the product over
    i = 1..k of (n - i) / (n + m - i), which tends to 1 - 2^-k for m = n (Naeem et al., 2020, Lemma 2).
    """
    return 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))


def _centre(x: Float[Tensor, "n d"]) -> Float[Tensor, "d"]:
    """Return the mean, rounded to few bits so that it is subtracted without rounding. Small norms are more exact."""
    return x.double().mean(0).bfloat16().double()


def _radii(x: Float[Tensor, "n d"], k: int) -> Float[Tensor, "n"]:
    """Return the squared distance of each row to its k-th nearest other row."""
    x, radii = x - _centre(x), []
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        itself = torch.zeros(len(block), len(x), dtype=torch.bool, device=x.device)
        itself.diagonal(start).fill_(True)
        radii.append(nearest_squared(block, x, k, itself))
    return torch.cat(radii)
