"""Checks of an objective's options, so that a wrong value is refused before training starts."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from aimgan.errors import AimganError, near_miss


def choice(name: str, value: str, valid: Collection[str]) -> None:
    """Raise AimganError unless the value is one of the valid ones."""
    if value not in valid:
        raise near_miss(f"value of {name}", str(value), valid)


def non_negative(name: str, value: float) -> None:
    """Raise AimganError unless the value is finite and at least 0."""
    if not 0 <= value < math.inf:
        raise AimganError(f"{name} is {value}; expected a finite number >= 0")


def positive(name: str, value: float) -> None:
    """Raise AimganError unless the value is finite and greater than 0."""
    if not 0 < value < math.inf:
        raise AimganError(f"{name} is {value}; expected a finite number > 0")


def optional_players(objective: Any) -> None:
    """Raise AimganError unless each optional network is given exactly when its option selects it.

    `only_with` maps the network's field to the option and the value of it that select the network.
    """
    for player, (option, value) in objective.only_with.items():
        chosen = getattr(objective, option)
        if getattr(objective, player) is None and chosen == value:
            raise AimganError(f"{player} is missing, but {option} is {chosen}; expected a network {player}")
        if getattr(objective, player) is not None and chosen != value:
            raise AimganError(f"{player} is given, but {option} is {chosen}; expected {option} {value}, or no {player}")
