"""Recipes: one run each, written as the objects it uses."""

from aimgan.recipes.catalogue import RECIPES
from aimgan.recipes.recipe import Recipe

__all__ = ["RECIPES", "Recipe"]
