"""What is to be run: a recipe with a command's flags applied, or the one that a run's folder records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aimgan.checked import python_numbers
from aimgan.errors import AimganError, near_miss
from aimgan.recipes.catalogue import RECIPES
from aimgan.recipes.presets import with_preset
from aimgan.recipes.recipe import Recipe, from_dict, to_dict, with_settings
from aimgan.training.run_dir import RunDir


def prepared(
    recipe: str | Recipe,
    data: str | Path | None = None,
    size: int | None = None,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
) -> Recipe:
    """Return a recipe with a command's flags applied. Raises AimganError for a name or a setting that is not known."""
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise near_miss("recipe", recipe, RECIPES)
        recipe = RECIPES[recipe]
    recipe = recipe if preset is None else with_preset(recipe, preset)
    if steps is not None and settings and "epochs" in settings:
        raise AimganError(f"got {steps} steps and {settings['epochs']} epochs; expected one of them: leave one out")
    flags = {"data.path": None if data is None else str(data), "data.size": size, "steps": steps}
    given = {name: value for name, value in flags.items() if value is not None}
    for name, flag in (("data.path", "--data"), ("data.size", "--size")):
        if name in given and not hasattr(recipe.data, name.split(".")[1]):
            instead = f"leave {flag} out, or take folder/{recipe.objective}"
            raise AimganError(f"recipe {recipe.name} makes its own data: {instead}")
    return with_settings(python_numbers(recipe), {**given, **(settings or {})})


def settings_of(recipe: Recipe, seed: int, steps: int) -> dict[str, Any]:
    """What makes a run the run it is, as JSON gives it back."""
    return json.loads(json.dumps({"recipe": to_dict(recipe), "seed": seed, "steps": steps}))


def recorded(run: RunDir) -> tuple[Recipe, int]:
    """Return the recipe and the seed that a run was made with. Raises AimganError where the folder holds no run."""
    record = run.read()
    if record is None:
        raise AimganError(f"{run.path} holds no run (no run.json): check the path, or train one")
    recipe, seed = record["settings"].get("recipe"), record["settings"].get("seed")
    if not isinstance(recipe, dict) or type(seed) is not int:
        raise AimganError(f"{run.record} has no recipe or no seed: train the run anew")
    return from_dict(recipe), seed
