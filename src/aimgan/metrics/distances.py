"""Distances between the rows of two sets: what the metrics on neighbours share.

One matrix product gives all distances at once, but its rounding goes with the rows' norms, not with their distance:
within a cluster that is far from the origin nothing of a distance may be left. So what is near a limit is found by the
product and decided by subtraction, whose rounding goes with the distance itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aimgan.errors import AimganError

TIE = 1e-12  # of a distance: two that are equal and were summed in another order differ by less
_NUMBERS = 4_000_000  # of pairs' differences held at once: 32 MB
_MANY = 0.05  # share of a block's pairs from which on computing all of them is quicker than picking some


def squared_distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return ||a_i - b_j||^2 by |a|^2 + |b|^2 - 2 a.b, one matrix product, all of it held: give a block of rows.

    Rounding leaves some 1e-16 |a|^2 (1e-7 |a|^2 in float32), which is what equal rows may be apart.
    """
    distances = (a @ b.T).mul_(-2).add_(b.square().sum(1)).add_(a.square().sum(1)[:, None])
    return distances.clamp_(min=0)


def nearest_squared(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], k: int, without: Bool[Tensor, "n m"] | None = None
) -> Float[Tensor, "n"]:
    """Return each a's k-th smallest squared distance to the rows of b, exact up to float64's rounding of itself.

    Both in float64, near the origin if that can be had; `without` marks pairs that do not count. All of (n, m) is held.
    """
    quick, slack = squared_distances(a, b), rounding(a, b)
    if without is not None:
        quick[without] = torch.inf
    near = quick.topk(k, largest=False).indices
    first = torch.zeros_like(quick, dtype=torch.bool).scatter_(1, near, True)
    exact = torch.full_like(quick, torch.inf)
    exact[first] = exact_squared(a, b, first)
    limit = exact.gather(1, near).amax(1, keepdim=True)  # the k-th is no further: of rows that are equal, 0
    others = ((quick - slack).clamp_(min=0) < limit) & ~first
    exact[others] = exact_squared(a, b, others)
    return exact.topk(k, largest=False).values[:, -1]


def within(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], radii: Sequence[Float[Tensor, "..."]]
) -> list[Bool[Tensor, "n m"]]:
    """Return which pairs are at most each of some radii apart; a tie, up to rounding, is within.

    Radii are squared and broadcast against (n, m): (m,) are b's own, (n, 1) a's. Both sets in float64.
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


def rounding(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return a bound on the rounding of `squared_distances`: d + a few units in the last place of |a|^2 + |b|^2.

    Three sums of d products, each wrong by at most d / 2 units of its terms' size, and 2 |a.b| <= |a|^2 + |b|^2.
    """
    unit = (a.shape[1] + 16) * torch.finfo(a.dtype).eps
    return unit * (a.square().sum(1)[:, None] + b.square().sum(1))


def exact_squared(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], pairs: Bool[Tensor, "n m"]
) -> Float[Tensor, "pairs"]:
    """Return the squared distances of the marked pairs, row by row of the mask, by subtraction: equal rows have 0."""
    if int(pairs.sum()) > _MANY * pairs.numel():
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")[pairs].square()
    first, second = pairs.nonzero(as_tuple=True)
    size = max(1, _NUMBERS // a.shape[1])
    parts = [(a[i] - b[j]).square().sum(1) for i, j in zip(first.split(size), second.split(size), strict=True)]
    return torch.cat(parts)


def require_same_dimension(what: str, got: Tensor, expected: Tensor) -> None:
    """Raise AimganError unless rows of both have one shape: they are of different networks or data otherwise."""
    if got.shape[1:] != expected.shape[1:]:
        raise AimganError(
            f"got {what} of shape {tuple(got.shape[1:])} a row, expected {tuple(expected.shape[1:])}; "
            "take both from the same network and data"
        )
