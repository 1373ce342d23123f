"""Distances between the rows of two sets: what the metrics on neighbours share."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from aimgan.errors import AimganError


def squared_distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return ||a_i - b_j||^2 by |a|^2 + |b|^2 - 2 a.b, one matrix product, all of it held: give a block of rows.

    Rounding leaves some 1e-16 |a|^2 (1e-7 |a|^2 in float32), which is what equal rows may be apart.
    """
    distances = (a @ b.T).mul_(-2).add_(b.square().sum(1)).add_(a.square().sum(1)[:, None])
    return distances.clamp_(min=0)


def require_same_dimension(what: str, got: Tensor, expected: Tensor) -> None:
    """Raise AimganError unless rows of both have one shape: they are of different networks or data otherwise."""
    if got.shape[1:] != expected.shape[1:]:
        raise AimganError(
            f"got {what} of shape {tuple(got.shape[1:])} a row, expected {tuple(expected.shape[1:])}; "
            "take both from the same network and data"
        )
