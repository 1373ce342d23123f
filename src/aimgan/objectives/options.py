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


def positive(name: str, got: float) -> None:
    """Refuse a number that is not above zero and finite."""
    if not (math.isfinite(got) and got > 0):
        raise AimganError(f"{name} is {got}; expected a finite number > 0")


def player(name: str, got: object, wanted: bool, reason: str) -> None:
    """Refuse a missing player that an option needs, and one that it does not: another algorithm would run silently."""
    if (got is not None) != wanted:
        state = "missing" if wanted else "given"
        raise AimganError(f"{name} is {state}, but {reason}; expected {name} {'' if wanted else 'not '}to be a player")
