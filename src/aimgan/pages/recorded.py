"""What a finished run tells of itself, read from its folder: settings, scores, curves, alarms, the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from shlex import quote
from typing import Any

from aimgan.checked import numbers, read_json
from aimgan.errors import AimganError
from aimgan.figures.charts import Line
from aimgan.recipes import RECIPES
from aimgan.recipes.presets import PRESETS, with_preset
from aimgan.recipes.recipe import Recipe, to_dict
from aimgan.training.alarms import ALARMS
from aimgan.training.run_dir import RunDir, flat

Row = Mapping[str, Any]
NOT_CURVES = {"step", "epoch", "lr", "steps_per_second", "images_per_second"}
FITTED = ("networks.shape", "name")  # what the data and the recipe's name say
FLAGS = {"data.path": "--data", "data.size": "--size", "steps": "--steps"}
MAX_STEP, MAX_LINES = 2**53, 100


def command(recipe: Recipe, seed: int) -> str | None:
    """Return the shortest command that trains this very recipe, or None for one that no command names.

    It is made of the settings, not of what was typed (run.json has that): so it has no --output, and is there for a run
    that Python called.
    """
    if recipe.name not in RECIPES:
        return None
    given, starts = dict(flat(to_dict(recipe))), {"": RECIPES[recipe.name]}
    for preset in PRESETS:
        with suppress(AimganError):
            starts[preset] = with_preset(RECIPES[recipe.name], preset)
    changes = {preset: _changes(given, dict(flat(to_dict(start)))) for preset, start in starts.items()}
    preset = min(changes, key=lambda name: len(changes[name]))
    if "networks.kind" in changes[preset]:
        return None
    flags = [_flag(name, value) for name, value in changes[preset].items()]
    words = ["aimgan", "train", recipe.name, *([f"--preset={preset}"] if preset else []), *flags, f"--seed={seed}"]
    return " ".join(map(quote, words))


def _changes(given: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that lead from one recipe to another; --epochs and --steps say each other's absence."""
    changed = {name: value for name, value in given.items() if name not in FITTED and value != start.get(name)}
    return {name: value for name, value in changed.items() if value is not None or name not in ("epochs", "steps")}


def _flag(name: str, value: Any) -> str:
    """Return a setting as the command line reads it."""
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = text.lower() if value is None or isinstance(value, bool) else text
    return f"{FLAGS[name]}={text}" if name in FLAGS else f"--set={name.removeprefix('options.')}={text}"


def lines(rows: Sequence[Row], place: int = 0) -> dict[str, Line]:
    """Return each number of a run's rows as a line by step: losses and their terms first, then what was evaluated.

    Of more than MAX_LINES names, which no run of aimgan has, the first ones.
    """
    steps: dict[str, list[int]] = {}
    values: dict[str, list[float]] = {}
    for row in sorted(_placed(rows), key=lambda row: "lr" not in row):
        for name, value in numbers(row).items():
            steps.setdefault(name, []).append(row["step"])
            values.setdefault(name, []).append(value)
    names = [name for name in steps if name not in NOT_CURVES][:MAX_LINES]
    return {name: Line(steps[name], values[name], place) for name in names}


def alarms(rows: Sequence[Row]) -> list[tuple[str, int, int | None]]:
    """Return which alarms stood, from which step to which: None where one stood to the end."""
    rows = _placed(rows)
    found: list[tuple[str, int, int | None]] = []
    for name in ALARMS:
        at = [isinstance(row.get("alarms"), list) and name in row["alarms"] for row in rows]
        for stands, part in groupby(range(len(rows)), key=at.__getitem__):
            places = list(part)
            if stands:
                ended = places[-1] < len(rows) - 1
                found.append((name, rows[places[0]]["step"], rows[places[-1]]["step"] if ended else None))
    return found


def _placed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if 0 <= row["step"] < MAX_STEP]  # a file may hold anything


def scores_of(run: RunDir) -> dict[str, Any]:
    """Return a run's scores, none where it has not been evaluated. Raises AimganError where they cannot be read."""
    if not run.evaluation.exists():
        return {}
    try:
        return read_json(run.evaluation)
    except (OSError, ValueError) as reason:
        raise AimganError(f"{run.evaluation} cannot be read ({reason}): evaluate the run anew") from None
