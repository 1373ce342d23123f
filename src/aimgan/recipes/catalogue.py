"""All recipes by name, `<data>/<objective>`: every objective on every data set."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from aimgan.errors import OF_YOUR_OWN, AimganError, near_miss
from aimgan.objectives import OBJECTIVES
from aimgan.recipes import images, mixtures, pairs
from aimgan.recipes.recipe import Recipe

MIXTURES = {"grid": mixtures.GRID, "ring": mixtures.RING, "unbalanced": mixtures.UNBALANCED}
IMAGES = {
    "digits": images.DIGITS,
    "mnist": images.MNIST,
    "cifar10": images.CIFAR10,
    "celeba": images.CELEBA,
    "folder": images.FOLDER,
}
PAIRS = {"pairs-points": pairs.POINTS, "pairs-digits": pairs.DIGITS, "pairs": pairs.IMAGES}


def names() -> list[str]:
    """Return the names of all recipes: a user may register objectives at any time."""
    of_one = [f"{data}/{objective}" for data in [*MIXTURES, *IMAGES] for objective in OBJECTIVES]
    return of_one + [f"{data}/{objective}" for data in PAIRS for objective in pairs.OBJECTIVES]


@cache
def recipe_named(name: str) -> Recipe:
    """Return a recipe by name. Raises AimganError for an unknown one, with the nearest known ones."""
    if name.startswith("stream/"):  # an earlier name of folder/*
        return replace(recipe_named(name.replace("stream/", "folder/", 1)), name=name)
    if name not in names():
        raise _unknown(name)
    data, objective = name.split("/")
    if data in MIXTURES:
        base = MIXTURES[data]
        lr = mixtures.RATES.get(objective, base.lr)
        return replace(base, name=name, objective=objective, lr=lr, options=mixtures.options_of(objective, base.data))
    if data in PAIRS:
        base = PAIRS[data]
        return replace(base, name=name, objective=objective, options=pairs.options_of(objective, base.data))
    return replace(IMAGES[data], name=name, objective=objective, options=images.options_of(objective))


def _unknown(name: str) -> AimganError:
    """Return the error for an unknown name."""
    if name in OBJECTIVES:
        return AimganError(
            f"unknown recipe {name!r}; did you mean 'grid/{name}', 'mnist/{name}' or 'folder/{name}'? "
            "`aimgan recipes` lists all"
        )
    return near_miss("recipe", name, names(), OF_YOUR_OWN)


def all_recipes() -> dict[str, Recipe]:
    """Return all recipes by name: every objective on every data set."""
    return {name: recipe_named(name) for name in names()}
