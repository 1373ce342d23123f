"""Distances between the rows of two sets, for the metrics on neighbours.

One matrix product gives all distances at once, but its rounding error grows with the rows' norms, not with their
distance: in a cluster far from the origin nothing may be left of a distance. So the product finds the pairs that are
close to a limit, and those are decided by subtraction, whose rounding error is relative to the distance itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aimgan.errors import AimganError

TIE = 1e-12  # relative: equal distances that were summed in another order differ by less
_NUMBERS = 4_000_000  # differences held at once: 32 MB
_MANY = 0.05  # above this share of a block's pairs, computing all of them is quicker than selecting some

A = Float[Tensor, "n d"]
B = Float[Tensor, "m d"]
Distances = Float[Tensor, "n m"]
Pairs = Bool[Tensor, "n m"]


def squared_distances(a: A, b: B) -> Distances:
    """Return ||a_i - b_j||^2 as |a|^2 + |b|^2 - 2 a.b, with one matrix product. All of (n, m) is in memory.

    Rounding leaves about 1e-16 |a|^2 (1e-7 |a|^2 in float32), which can be the distance of equal rows.
    """
    distances = (a @ b.T).mul_(-2).add_(b.square().sum(1)).add_(a.square().sum(1)[:, None])
    return distances.clamp_(min=0)


def nearest_squared(a: A, b: B, k: int, without: Pairs | None = None) -> Float[Tensor, "n"]:
    """Return each a's k-th smallest squared distance to the rows of b, exact up to its own rounding in float64.

    Give both in float64 and near the origin. Pairs marked in `without` do not count. All of (n, m) is in memory.
    """
    quick, slack = squared_distances(a, b), rounding(a, b)
    if without is not None:
        quick[without] = torch.inf
    near = quick.topk(k, largest=False).indices
    first = torch.zeros_like(quick, dtype=torch.bool).scatter_(1, near, True)
    exact = torch.full_like(quick, torch.inf)
    exact[first] = exact_squared(a, b, first)
    limit = exact.gather(1, near).amax(1, keepdim=True)  # the k-th distance is at most this; 0 for equal rows
    others = ((quick - slack).clamp_(min=0) < limit) & ~first
    exact[others] = exact_squared(a, b, others)
    return exact.topk(k, largest=False).values[:, -1]


def within(a: A, b: B, radii: Sequence[Float[Tensor, "..."]]) -> list[Pairs]:
    """Return, for each of some radii, which pairs are at most so far apart; a tie up to rounding is within.

    Radii are squared and broadcast against (n, m): (m,) for b's own, (n, 1) for a's. Give both sets in float64.
    """
    quick, slack = squared_distances(a, b), rounding(a, b)
    found = []
    for squared in radii:
        limit = squared * (1 + TIE)
        inside = quick <= limit
        unsure = (quick - limit).abs_() <= slack
        inside[unsure] = exact_squared(a, b, unsure) <= limit.expand_as(quick)[unsure]
        found.append(inside)
    return found


def rounding(a: A, b: B) -> Distances:
    """Return a bound on the rounding error of `squared_distances`: (d + 16) eps (|a|^2 + |b|^2).

    Each of its three sums of d products is wrong by at most d / 2 units of its terms, and 2 |a.b| <= |a|^2 + |b|^2.
    """
    unit = (a.shape[1] + 16) * torch.finfo(a.dtype).eps
    return unit * (a.square().sum(1)[:, None] + b.square().sum(1))


def exact_squared(a: A, b: B, pairs: Pairs) -> Float[Tensor, "pairs"]:
    """Return the squared distances of the marked pairs, row by row of the mask, by subtraction: 0 for equal rows."""
    if int(pairs.sum()) > _MANY * pairs.numel():
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")[pairs].square()
    first, second = pairs.nonzero(as_tuple=True)
    size = max(1, _NUMBERS // a.shape[1])
    parts = [(a[i] - b[j]).square().sum(1) for i, j in zip(first.split(size), second.split(size), strict=True)]
    return torch.cat(parts)


def require_same_dimension(what: str, got: Tensor, expected: Tensor) -> None:
    """Raise AimganError unless the rows of both have the same shape."""
    if got.shape[1:] != expected.shape[1:]:
        raise AimganError(
            f"got {what} of shape {tuple(got.shape[1:])} a row, expected {tuple(expected.shape[1:])}; "
            "take both from the same network and data"
        )
