"""All recipes by name: a plain dict."""

from __future__ import annotations

from aimgan.recipes import images, mixtures
from aimgan.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = mixtures.RECIPES | images.RECIPES
