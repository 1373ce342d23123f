"""Where everything meets: recipes, training, evaluation, and the paper's tables."""

from aimgan.experiments.evaluation import evaluate
from aimgan.experiments.inversion import invert
from aimgan.experiments.recipe import Recipe
from aimgan.experiments.recipes import RECIPES
from aimgan.experiments.training import train

__all__ = ["RECIPES", "Recipe", "evaluate", "invert", "train"]
