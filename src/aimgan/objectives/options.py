"""Checks of an objective's options, so that a wrong value is refused before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable

from aimgan.errors import AimganError, near_miss


def choice(name: str, got: str, valid: Iterable[str]) -> None:
    """Refuse a value that is not among the valid ones."""
    options = tuple(valid)
    if got not in options:
        raise near_miss(f"value of {name}", str(got), options)


def non_negative(name: str, got: float) -> None:
    """Refuse a negative or non-finite number."""
    if not (math.isfinite(got) and got >= 0):
        raise AimganError(f"{name} is {got}; expected a finite number >= 0")
