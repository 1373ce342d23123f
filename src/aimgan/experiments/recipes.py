"""All recipes by name: a plain dict."""

from __future__ import annotations

from aimgan.experiments import grid, images
from aimgan.experiments.recipe import Recipe

RECIPES: dict[str, Recipe] = grid.RECIPES | images.RECIPES
