"""Are samples among the data, and the data among the samples? Four shares, by nearest neighbours in feature space.

A set's manifold is the union of balls, one about each row, that reach to its k-th nearest other row of the set.

- precision (Kynkäänniemi et al. 2019, equations 1 and 2): the share of samples inside the real manifold.
- recall (the same): the share of real rows inside the samples' manifold.
- density (Naeem et al. 2020, section 3): how many real balls hold a sample, on average, over k. 1 for real data; may
  exceed it. One outlier among the real rows, whose ball is wide, counts once here and makes precision 1 by itself.
- coverage (the same): the share of real balls that hold a sample.

A ball has its boundary (<=, as equation 1 of Kynkäänniemi et al.; the code of Naeem et al. has <): it matters only for
rows that are equal or tied. Real data do not score 1 in all: `coverage_expected` is what they do in coverage.

A tie is a tie of distances, whatever the norms are (metrics/distances.py): clusters 10,000 apart are scored as they are
side by side.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.distances import nearest_squared, require_same_dimension, within
from aimgan.metrics.sums import require_finite, require_samples

_BLOCK = 1000  # rows of a distance matrix held at once, with its rounding: 80 MB each for 10,000 columns


def manifold_metrics(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int = 5) -> dict[str, float]:
    """Return precision, recall, density and coverage of fake rows against real ones, in float64, in blocks.

    With them `coverage_expected`: the coverage that as many rows of the real data's own distribution have on average.
    Raises AimganError for sets of k rows or fewer, unlike dimensions or numbers that are not finite.
    """
    if k < 1:
        raise AimganError(f"got k = {k}, expected at least 1; 5 is Naeem et al.'s, 3 Kynkäänniemi et al.'s")
    require_same_dimension("fake features", fake, real)
    for features in (real, fake):
        require_samples(len(features), minimum=k + 1)
        require_finite("features", features)
    centre = _centre(real)
    r, f = (features.to(centre) - centre for features in (real, fake))
    held_by_real = f.new_empty(len(f))  # how many real balls hold each fake row
    covered, recalled = (torch.zeros(len(r), dtype=torch.bool, device=r.device) for _ in range(2))
    r_radii, f_radii = _radii(r, k), _radii(f, k)
    for start in range(0, len(f), _BLOCK):
        rows = slice(start, start + _BLOCK)
        in_real, in_fake = within(f[rows], r, (r_radii, f_radii[rows, None]))
        held_by_real[rows] = in_real.sum(1).double()
        covered |= in_real.any(0)
        recalled |= in_fake.any(0)
    return {
        "precision": _share(held_by_real > 0),
        "recall": _share(recalled),
        "density": float(held_by_real.mean()) / k,
        "coverage": _share(covered),
        "coverage_expected": expected_coverage(len(r), len(f), k),
    }


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Return the coverage that m rows of the data's own distribution have of n real ones, on average.

    A ball misses them all if its k nearest of the n - 1 + m other rows are all real: 1 - the product over i = 1..k of
    (n - i) / (n + m - i), which tends to 1 - 2^-k for m = n (Naeem et al. 2020, Lemma 2).
    """
    return 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))


def _centre(x: Float[Tensor, "n d"]) -> Float[Tensor, "d"]:
    """About a centre neighbours are the same and rounding is less; one of few bits is subtracted without any."""
    return x.double().mean(0).bfloat16().double()


def _radii(x: Float[Tensor, "n d"], k: int) -> Float[Tensor, "n"]:
    """The squared distance of each row to its k-th nearest other one."""
    x, radii = x - _centre(x), []
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        itself = torch.zeros(len(block), len(x), dtype=torch.bool, device=x.device)
        itself.diagonal(start).fill_(True)
        radii.append(nearest_squared(block, x, k, itself))
    return torch.cat(radii)


def _share(hits: Bool[Tensor, "n"]) -> float:
    return float(hits.double().mean())
