"""Are samples among the data, and the data among the samples? Four shares, by nearest neighbours in feature space.

A set's manifold is the union of balls, one about each row, that reach to its k-th nearest other row of the set.

- precision (Kynkäänniemi et al. 2019, equations 1 and 2): the share of samples inside the real manifold.
- recall (the same): the share of real rows inside the samples' manifold.
- density (Naeem et al. 2020, section 3): how many real balls hold a sample, on average, over k. 1 for real data; may
  exceed it. One outlier among the real rows, whose ball is wide, counts once here and makes precision 1 by itself.
- coverage (the same): the share of real balls that hold a sample.

A ball has its boundary (<=, as equation 1 of Kynkäänniemi et al.; the code of Naeem et al. has <): it matters only for
rows that are equal or tied. Real data do not score 1 in all: `expected_coverage` is what they do in coverage.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.distances import require_same_dimension, squared_distances
from aimgan.metrics.sums import require_finite, require_samples

_BLOCK = 1000  # rows of a distance matrix held at once: 80 MB for 10,000 columns
_SLACK = 1e-12  # of the largest squared norm: equal distances from two matrix products differ by less


def manifold_metrics(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int = 5) -> dict[str, float]:
    """Return precision, recall, density and coverage of fake rows against real ones, in float64, in blocks.

    Raises AimganError for sets of k rows or fewer, unlike dimensions or numbers that are not finite.
    """
    if k < 1:
        raise AimganError(f"got k = {k}, expected at least 1; 5 is Naeem et al.'s, 3 Kynkäänniemi et al.'s")
    require_same_dimension("fake features", fake, real)
    for features in (real, fake):
        require_samples(len(features), minimum=k + 1)
        require_finite("features", features)
    centre = real.double().mean(0)  # neighbours are the same, rounding is less
    r, f = (features.to(centre) - centre for features in (real, fake))
    held_by_real = f.new_empty(len(f))  # how many real balls hold each fake row
    covered, recalled = (torch.zeros(len(r), dtype=torch.bool, device=r.device) for _ in range(2))
    r_radii, f_radii = _radii(r, k), _radii(f, k)
    for start in range(0, len(f), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distances = squared_distances(f[rows], r)
        inside = distances <= r_radii
        held_by_real[rows] = inside.sum(1).double()
        covered |= inside.any(0)
        recalled |= (distances <= f_radii[rows, None]).any(0)
    return {
        "precision": _share(held_by_real > 0),
        "recall": _share(recalled),
        "density": float(held_by_real.mean()) / k,
        "coverage": _share(covered),
    }


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Return the coverage that m rows of the data's own distribution have of n real ones, on average.

    A ball misses them all if its k nearest of the n - 1 + m other rows are all real: 1 - the product over i = 1..k of
    (n - i) / (n + m - i), which tends to 1 - 2^-k for m = n (Naeem et al. 2020, Lemma 2).
    """
    return 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))


def _radii(x: Float[Tensor, "n d"], k: int) -> Float[Tensor, "n"]:
    """The squared distance of each row to its k-th nearest other one, and rounding's worth: a tie is inside."""
    radii, slack = [], _SLACK * x.square().sum(1).max()
    for start in range(0, len(x), _BLOCK):
        distances = squared_distances(x[start : start + _BLOCK], x)
        distances.diagonal(start).fill_(math.inf)
        radii.append(distances.topk(k, largest=False).values[:, -1] + slack)
    return torch.cat(radii)


def _share(hits: Bool[Tensor, "n"]) -> float:
    return float(hits.double().mean())
