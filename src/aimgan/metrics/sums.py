"""What every accumulator here is: a frozen dataclass whose fields are float64 sums, so that parts add up to the whole.

Batches add by `+`; processes by a sum-reduction of each field, `type(s)(**reduce(vars(s)))`. Counts are float64 too
(exact to 2^53), so that one reduction serves all fields.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from aimgan.errors import AimganError

S = TypeVar("S")


def added(a: S, b: S) -> S:
    """Return the sums of two parts of the data, field by field.

    Raises AimganError where the parts are of different kinds or shapes: torch would broadcast (1,) with (25,).
    """
    mine, theirs = vars(a), vars(b)
    if _shapes(mine) != _shapes(theirs):
        raise AimganError(
            f"got parts with sums of shapes {_shapes(mine)} and {_shapes(theirs)}, expected the same; "
            "add only results of one metric on one kind of data"
        )
    return type(a)(**{name: mine[name] + theirs[name] for name in mine})


def _shapes(sums: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in sums.items()}


def require_same_shape(what: str, got: Tensor, expected: Tensor) -> None:
    """Raise AimganError unless the shapes are equal: broadcasting would silently compare the wrong things."""
    if got.shape != expected.shape:
        raise AimganError(
            f"got {what} of shape {tuple(got.shape)}, expected {tuple(expected.shape)}; pass one row for each row"
        )


def require_finite(what: str, x: Tensor) -> None:
    """Raise AimganError if a number is NaN or infinite: it would be counted as a sample of the first bin."""
    bad = int((~x.isfinite()).sum())
    if bad:
        raise AimganError(
            f"got {what} with {bad} of {x.numel()} numbers not finite, expected finite ones; has training diverged?"
        )


def require_samples(count: Tensor | int, minimum: int = 1) -> None:
    """Raise AimganError where there are too few samples for the statistic to exist."""
    if count < minimum:
        raise AimganError(f"got {int(count)} samples, expected at least {minimum}; evaluate on more data")
