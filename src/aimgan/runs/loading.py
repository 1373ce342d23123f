"""A run's data, loaded and described, and the network that its images are scored by."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from rich.console import Console

from aimgan import console as screen
from aimgan.data import Data, DataSource, ImageSet, Mixture, OwnBatches, PointSet, TwoDomains
from aimgan.data.account import account, line
from aimgan.data.own import NO_HELD_OUT
from aimgan.evaluation.feature_networks import FeatureNetwork, feature_network
from aimgan.recipes.recipe import Recipe


def loaded(source: DataSource, console: Console, device: torch.device | str = "cpu") -> Data:
    """Load data, with a bar while images are decoded, and name those that cannot be used.

    Raises AimganError for batches of a caller's own that do not fit (data/own.py).
    """
    with screen.decoding(console) as progress:
        data = source.load(progress, partial(screen.say, console))
    if isinstance(data, ImageSet):
        screen.say_skipped(console, data.images.skipped, len(data))
        data.to(torch.device(device))
    elif not isinstance(data, Mixture | PointSet | OwnBatches | TwoDomains):
        data = OwnBatches(data)
    if isinstance(data, OwnBatches) and not data.has_held_out:
        screen.say(console, NO_HELD_OUT)
    return data


def say_what_was_read(recipe: Recipe, data: Data, console: Console) -> dict[str, Any] | None:
    """Say what was read of a recipe's data, and return it as run.json keeps it; None for mixtures."""
    if recipe.name.startswith("stream/"):
        same = recipe.name.replace("stream/", "folder/", 1)
        screen.say(console, f"{recipe.name} is the earlier name of {same}, and does the same")
    if isinstance(data, Mixture):
        return None
    read = account(data.images) if isinstance(data, ImageSet) else data.account()
    screen.say(console, line(read))
    return read


def network_for(recipe: Recipe, data: Data, device: torch.device | str, console: Console) -> FeatureNetwork | None:
    """Return the feature network that a recipe's images are scored by, if there is one."""
    if not isinstance(data, ImageSet):
        return None
    return feature_network(data, recipe.features, device, say=partial(screen.say, console))
