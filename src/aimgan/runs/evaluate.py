"""A finished run, scored again: what `aimgan evaluate` calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from aimgan import console as screen
from aimgan.checked import shown
from aimgan.data import Images, InMemory, Mixture, TwoDomains, in_memory
from aimgan.devices import resolved_device
from aimgan.errors import AimganError, plain
from aimgan.evaluation.evaluate import evaluate, evaluate_data
from aimgan.evaluation.verdict import judged
from aimgan.model import LatentVariableModel
from aimgan.networks import DataPrior
from aimgan.networks.batch_norm import batch_norms
from aimgan.objectives import OBJECTIVES
from aimgan.pages import tables
from aimgan.recipes.catalogue import names, recipe_named
from aimgan.recipes.recipe import Recipe, with_settings
from aimgan.recipes.resolving import recorded
from aimgan.runs.loading import loaded, network_for
from aimgan.sharing.hub import load
from aimgan.training.run_dir import RunDir, names_own_data

EARLIER_STATISTICS = (
    "an earlier version saved this model, with batch-norm statistics of the prior's codes for every use of G; this "
    "version would score it differently: remove the run's evaluation.json and repeat its training command"
)


@dataclass(frozen=True)
class Options:
    """What a run is scored with instead of its own settings; None keeps them."""

    data: Any = None  # a path, or data in memory
    seed: int | None = None
    features: str | None = None
    samples: int | None = None
    device: str = "auto"


def evaluate_run(run: Path, options: Options, console: Console) -> dict[str, Any]:
    """Score a run's model, print the table, and return the scores.

    Raises AimganError for data of another shape, and where a run that was not trained by this user names images or code
    that the options do not name.
    """
    recipe, seed = recorded(RunDir(run))
    if options.features is None and (recipe.features or "").endswith(".pt"):  # a stranger's run, a stranger's code
        raise AimganError(f"{run} was scored by {recipe.features}, which is code: pass --features, if you trust it")
    if options.seed is not None:
        seed = options.seed
    given = {"features": options.features, "samples": options.samples}
    recipe = with_settings(recipe, {name: value for name, value in given.items() if value is not None})
    source = recipe.data
    named = getattr(source, "path", None)
    if options.data is None:
        if not _is_own(run, recipe):
            what = f"{run} was not trained by you here, and says that its images are {shown(named)}"
            screen.require_consent(console, what, f"--data {named}")
    elif not isinstance(options.data, str) or options.data != named:
        source = other_data(recipe, options.data)
    data = loaded(source, console)
    model = load(run, resolved_device(options.device))
    if isinstance(data, TwoDomains) and isinstance(model.prior, DataPrior):
        model.prior.samples = data.training_samples_of_b.to(model.device)
    if data.shape != model.shape:
        raise AimganError(f"the data are {data.shape}, but {run} is a model of {model.shape}: choose other --data")
    if has_earlier_statistics(model):
        screen.say(console, EARLIER_STATISTICS, "warning:")
    network = network_for(recipe, data, model.device, console)
    scores = evaluate(model, data, seed, network, recipe.samples)
    scores |= judged(model, data, scores, seed, recipe.name)._asdict()
    real = evaluate_data(data, seed) if isinstance(data, Mixture) else None
    console.print(plain(scores["verdict"]), markup=False, highlight=False)
    console.print(tables.of_run(recipe, scores, real).rich())
    return scores


def _is_own(run: Path, recipe: Recipe) -> bool:
    """Return whether a run's images are those that its recipe names by default, or that this user has named."""
    default = recipe_named(recipe.name).data if recipe.name in names() else None
    if getattr(recipe.data, "path", None) == getattr(default, "path", None):
        return True
    return names_own_data(RunDir(run).read() or {"settings": {}})


def other_data(recipe: Recipe, data: Any) -> Images | InMemory:
    """Return other data for a run's model: images of its shape, or points."""
    if hasattr(recipe.networks, "between"):
        raise AimganError(f"{recipe.name} has two data sets, which --data cannot replace: leave it out")
    shape = recipe.networks.shape
    channels, size = shape[:2] if len(shape) == 3 else (None, None)
    if isinstance(data, str | Path):
        return Images(str(data), size, channels)
    return InMemory(size, channels, given=in_memory(data))


def has_earlier_statistics(model: LatentVariableModel) -> bool:
    """Return whether a model's batch-norm statistics are not those that its objective's models have today."""
    objective = OBJECTIVES.get(model.config.objective)
    today = getattr(objective, "G_sees", model.config.G_sees)
    if model.config.G_sees == today:
        return False
    return any(batch_norms(network) for network in (model.G, model.E) if network is not None)
