"""A recipe's data, loaded, and the recipe fitted to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from rich.console import Console

from aimgan import console as screen
from aimgan.data import DataSource, ImageSet
from aimgan.data.account import account, line
from aimgan.errors import AimganError
from aimgan.evaluation.feature_networks import FeatureNetwork, feature_network
from aimgan.recipes.assemble import fit_networks
from aimgan.recipes.recipe import Recipe, with_settings


def loaded(source: DataSource, console: Console, device: torch.device | str = "cpu") -> Any:
    """Load data, with a bar where they are decoded, and name what was left out."""
    with screen.decoding(console) as progress:
        batches = source.load(progress, partial(screen.say, console))
    if isinstance(batches, ImageSet):
        screen.say_skipped(console, batches.images.skipped, len(batches))
        batches.to(torch.device(device))
    return batches


def fitted(recipe: Recipe, batches: Any) -> Recipe:
    """Fit the networks to the data's shape, and the batch to a small data set."""
    if batches.epoch_size < 2:
        raise AimganError(f"there is {batches.epoch_size} image to train on; expected at least 2")
    recipe = fit_networks(recipe, batches.shape)
    return with_settings(recipe, {"batch_size": min(recipe.batch_size, batches.epoch_size)})


def fitted_or_begun(
    recipe: Recipe, batches: Any, begun: Mapping[str, Any] | None, extend: bool
) -> tuple[Recipe, int | None]:
    """Fit a recipe to its data. Where its run was begun on others, the batch, and without `extend` the steps, are its.

    `begun` is that run's run.json, None for a run of its own data. Raises AimganError where there are fewer images than
    a batch has.
    """
    recipe = fitted(recipe, batches)
    if begun is None:
        return recipe, None
    batch_size = begun["settings"].get("recipe", {}).get("batch_size", recipe.batch_size)
    if batches.epoch_size < batch_size:
        raise AimganError(
            f"there are {batches.epoch_size:,} images to train on, and the run was begun with batches of {batch_size}: "
            "give it as many images or more, or choose another --output"
        )
    return with_settings(recipe, {"batch_size": batch_size}), None if extend else begun["settings"].get("steps")


def told(recipe: Recipe, batches: Any, console: Console) -> dict[str, Any] | None:
    """Say what was read of a recipe's images, and return it as run.json has it; None for mixtures."""
    if recipe.name.startswith("stream/"):
        same = recipe.name.replace("stream/", "folder/", 1)
        screen.say(console, f"{recipe.name} is {same} by its earlier name, and does the same")
    if not isinstance(batches, ImageSet):
        return None
    read = account(batches.images)
    screen.say(console, line(read))
    return read


def own_features(recipe: Recipe, batches: Any, device: torch.device | str, console: Console) -> FeatureNetwork | None:
    """Return the feature network that a recipe's images are scored by, if there is one."""
    if not isinstance(batches, ImageSet):
        return None
    return feature_network(batches, recipe.features, device, say=lambda text: screen.say(console, text))
