"""The records of a finished run in its folder: curves, alarms, and the command that trains it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

from markupsafe import Markup

from aimgan.checked import numbers
from aimgan.errors import AimganError
from aimgan.figures.charts import Line, chart, inline_svg
from aimgan.recipes.catalogue import recipe_named
from aimgan.recipes.presets import PRESETS, with_preset
from aimgan.recipes.recipe import Recipe, to_dict
from aimgan.training.alarms import ALARMS
from aimgan.training.run_dir import flat

Row = Mapping[str, Any]
NOT_CURVES = {"step", "epoch", "lr", "steps_per_second", "images_per_second"}
FOLLOWS = ("networks.shape", "networks.codes", "name")  # settings that follow from the data and from the recipe's name
FLAGS = {"data.path": "--data", "data.path_b": "--data-b", "data.size": "--size", "steps": "--steps"}
MAX_STEP, MAX_CHARTS = 2**53, 100


def command(recipe: Recipe, seed: int) -> str | None:
    """Return the shortest command that trains this recipe, or None for a recipe that no command can name.

    It is made from the settings, unlike the command in run.json, so it has no --output, and a run started from Python
    has a command too.
    """
    try:
        named = recipe_named(recipe.name)
    except AimganError:
        return None
    candidates = {"": _changes(named, recipe)}
    for preset in PRESETS:
        try:
            candidates[preset] = _changes(with_preset(named, preset), recipe)
        except AimganError:  # the preset is for other data
            continue
    preset = min(candidates, key=lambda name: len(candidates[name]))
    changes = candidates[preset]
    if changes.keys() & {"networks.kind", "data.kind"}:
        return None
    words = ["aimgan", "train", recipe.name]
    if preset:
        words.append(f"--preset={preset}")
    words += [_flag(name, value) for name, value in changes.items()]
    return " ".join(map(quote, [*words, f"--seed={seed}"]))


def _changes(start: Recipe, wanted: Recipe) -> dict[str, Any]:
    """Return the settings that lead from one recipe to another."""
    before, changes = dict(flat(to_dict(start))), {}
    for name, value in flat(to_dict(wanted)):
        implied = value is None and name in ("epochs", "steps")  # each is None where the other is set
        if name not in FOLLOWS and not implied and value != before.get(name):
            changes[name] = value
    return changes


def _flag(name: str, value: Any) -> str:
    """Return a setting as the command line reads it."""
    text = str(value)
    if isinstance(value, list | tuple):
        text = ",".join(map(str, value))
    elif value is None or isinstance(value, bool):
        text = text.lower()
    flag = FLAGS.get(name, f"--set={name.removeprefix('options.')}")
    return f"{flag}={text}"


def charts(runs: Sequence[Sequence[Row]]) -> dict[str, Markup]:
    """Return a chart by step of each number in the rows of some runs, as SVG, with a line for each run.

    Losses and their terms come first, then scores. The steps at which an alarm was raised are shaded where there is one
    run only. There are at most MAX_CHARTS, which is more than any run of aimgan has.
    """
    found: dict[str, list[Line]] = {}
    for place, rows in enumerate(runs):
        points: dict[str, list[tuple[int, float]]] = {}
        for row in sorted(_placed(rows), key=lambda row: "lr" not in row):
            for name, value in numbers(row).items():
                points.setdefault(name, []).append((row["step"], value))
        for name, pairs in points.items():
            steps, values = zip(*pairs, strict=True)
            found.setdefault(name, []).append(Line(steps, values, place))
    spans = []
    if len(runs) == 1:
        end = max((row["step"] for row in runs[0]), default=0)
        spans = [(first, last or end) for _, first, last in alarms(runs[0])]
    drawn: dict[str, Markup] = {}
    for name, lines in found.items():
        if name not in NOT_CURVES and len(drawn) < MAX_CHARTS:
            drawn[name] = Markup(inline_svg(chart(lines, spans), f"c{len(drawn)}"))
    return drawn


def alarms(rows: Sequence[Row]) -> list[tuple[str, int, int | None]]:
    """Return the alarms that were raised, each with its first step and its last; None for one that lasts to the end."""
    found: list[tuple[str, int, int | None]] = []
    for name in ALARMS:
        steps: list[int] = []
        for row in _placed(rows):
            raised = row.get("alarms")
            if isinstance(raised, list) and name in raised:
                steps.append(row["step"])
            elif steps:
                found.append((name, steps[0], steps[-1]))
                steps = []
        if steps:
            found.append((name, steps[0], None))
    return found


def _placed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if 0 <= row["step"] < MAX_STEP]  # a damaged file may hold any step
