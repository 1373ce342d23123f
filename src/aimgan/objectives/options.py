"""Checks of an objective's options, so that a wrong value is refused before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

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


def optional_players(objective: Any) -> None:
    """Refuse a missing player of `only_with` whose option is set, and one whose option is not.

    Another algorithm would run silently.
    """
    for name, (option, value) in objective.only_with.items():
        given, now = getattr(objective, name) is not None, getattr(objective, option)
        if given != (now == value):
            state = "given" if given else "missing"
            raise AimganError(f"{name} is {state}, but {option} is {now}; expected {name} with {option} {value} only")
