"""Recipes: one run each, written as the objects it uses."""

from typing import TYPE_CHECKING, Any

from aimgan.recipes import catalogue
from aimgan.recipes.recipe import Recipe

if TYPE_CHECKING:
    RECIPES: dict[str, Recipe]

__all__ = ["RECIPES", "Recipe"]


def __getattr__(name: str) -> Any:
    if name != "RECIPES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return catalogue.all_recipes()
