"""Accumulators, and the checks that all metrics share."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from aimgan.errors import AimganError

S = TypeVar("S")


class Sums:
    """The base of accumulators: frozen dataclasses whose fields are float64 sums.

    `+` adds two batches; n processes add theirs by a sum-reduction of each field, `type(s)(**reduce(vars(s)))`. Counts
    are float64 too (exact to 2^53), so that one reduction serves all fields.
    """

    def __add__(self: S, other: S) -> S:
        """Return the sums of two parts of the data. Raises AimganError for different shapes: torch would broadcast."""
        fields = {}
        for name, value in vars(self).items():
            added = vars(other)[name]
            require_same_shape(f"sums of {name}", added, value)
            fields[name] = value + added
        return type(self)(**fields)


def require_same_shape(what: str, got: Tensor, expected: Tensor) -> None:
    """Raise AimganError unless both shapes are equal. Broadcasting would silently compare the wrong rows."""
    if got.shape != expected.shape:
        raise AimganError(
            f"got {what} of shape {tuple(got.shape)}, expected {tuple(expected.shape)}; "
            "both need the same number of rows"
        )


def require_finite(what: str, x: Tensor) -> None:
    """Raise AimganError if a number is NaN or infinite."""
    bad = int((~x.isfinite()).sum())
    if bad > 0:
        raise AimganError(
            f"got {what} with {bad} of {x.numel()} numbers not finite, expected finite ones; "
            "if training has diverged, lower its learning rate"
        )


def require_samples(count: Tensor | int, minimum: int = 1) -> None:
    """Raise AimganError where there are fewer samples than the statistic needs."""
    if count < minimum:
        raise AimganError(f"got {int(count)} samples, expected at least {minimum}; evaluate on more data")
