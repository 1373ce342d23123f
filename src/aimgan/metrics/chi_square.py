"""The chi-square distribution: that of the squared norm of a standard normal vector."""

from __future__ import annotations

from torch import Tensor
from torch.special import gammainc


def chi_square_cdf(x: Tensor, degrees: int) -> Tensor:
    """Return P(||r||^2 <= x) for r ~ N(0, I) in `degrees` dimensions, elementwise."""
    return gammainc(x.new_full((), degrees / 2), x / 2)
