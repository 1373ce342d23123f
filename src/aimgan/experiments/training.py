"""One run from a recipe to a folder: what `aimgan train` calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console

from aimgan.data import DataSource, ImageSet, StackedSet
from aimgan.errors import AimganError, near_miss
from aimgan.experiments import console as screen
from aimgan.experiments.assemble import assemble, config_of, fit_networks, model_of
from aimgan.experiments.evaluation import progress_scores
from aimgan.experiments.features import FeatureNetwork, feature_network
from aimgan.experiments.finish import batch_of, finish
from aimgan.experiments.presets import with_preset
from aimgan.experiments.recipe import Recipe, from_dict, to_dict, with_settings
from aimgan.experiments.recipes import RECIPES
from aimgan.hub import load
from aimgan.model import LatentVariableModel, ModelConfig, to_range
from aimgan.objectives import Objective
from aimgan.train.adam import Adam
from aimgan.train.engine import Engine
from aimgan.train.loop import Loop, learning_rate
from aimgan.train.precision import float32_products, mixed
from aimgan.train.run_dir import RunDir

DEVICES = ("auto", "cpu", "cuda")


def train(
    recipe: str | Recipe,
    output: str | Path | None = None,
    *,
    data: str | Path | None = None,
    size: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    extend: bool = False,
    console: Console | None = None,
) -> LatentVariableModel:
    """Train a recipe, or go on with it where it was stopped, and return the model.

    The run's folder (`output`, runs/<data>-<objective>[-<preset>] without one) gets run.json, metrics.jsonl,
    checkpoints/, model/, evaluation.json, figures/ and report.md. The same call goes on from the newest checkpoint, or
    returns the finished model. `preset` is paper, quick or cpu (experiments/presets.py); `settings` is `--set`:
    objective options, the recipe's numbers, `networks.*` and `data.*`. `extend` allows more steps than the run was
    begun with.

    Raises AimganError for an unknown name, a bad setting, no data, or a folder that holds another run; Interrupted
    after SIGINT or SIGTERM, with the state saved.
    """
    console = console or Console(quiet=True)
    recipe = prepared(recipe, data, size, steps, settings, preset)
    accelerator = Accelerator(cpu=resolved_device(device) == "cpu", mixed_precision=mixed(recipe.precision))
    batches = loaded(recipe.data, console, accelerator.device)
    recipe = fitted(recipe, batches)
    objective = assemble(recipe, seed, accelerator.device)  # a wrong option is refused before there is a folder
    total = recipe.length(batches.epoch_size // recipe.batch_size)
    run = RunDir(output or Path("runs") / "-".join([*recipe.name.split("/"), *([preset] if preset else [])]))
    fresh = run.read() is None  # then a feature network that is not to be had is refused too
    network = own_features(recipe, batches, accelerator.device, console) if fresh else None
    for warning in run.begin(settings_of(recipe, seed, total), extend):
        screen.say(console, warning, "warning:")
    if _finished(run, total):
        screen.say(console, f"{run.path} is complete: {total:,} steps")
        return load(run.path)

    if not fresh:
        network = own_features(recipe, batches, accelerator.device, console)
    _carry_out(recipe, objective, batches, run, seed, total, accelerator, console, network)
    return load(run.path)


def _carry_out(
    recipe: Recipe,
    objective: Objective,
    batches: Any,
    run: RunDir,
    seed: int,
    steps: int,
    accelerator: Accelerator,
    console: Console,
    network: FeatureNetwork | None,
) -> None:
    """Train from wherever the run stands, then finish it."""
    about = {"recipe": recipe.name, "seed": seed, "steps": steps, "batch_size": recipe.batch_size, "lr": recipe.lr}
    config = config_of(recipe, about | {"options": dict(recipe.options)})
    engine = engine_of(recipe, objective, accelerator, seed)
    loop = _loop(recipe, batches, engine, run, steps, config, network)
    start = loop.resume()
    if start:
        screen.say(console, f"going on after step {start:,} of {steps:,}")
    products = float32_products(recipe.precision, accelerator.device)
    with products, screen.training(console, recipe.name, start, steps) as loop.progress:
        loop.train(start)
    finish(model_of(engine, config), batches, run, recipe, seed, console, network)


def engine_of(recipe: Recipe, objective: Objective, accelerator: Accelerator, seed: int) -> Engine:
    """Return the engine that trains a recipe's players; on a GPU a step is one CUDA graph."""
    rule, graph = Adam(recipe.beta1, recipe.beta2), accelerator.device.type == "cuda"
    return Engine(objective, rule, accelerator, seed, recipe.ema, recipe.channels_last, graph)


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
    flags = {"data.path": None if data is None else str(data), "data.size": size, "steps": steps}
    given = {name: value for name, value in flags.items() if value is not None}
    for name, flag in (("data.path", "--data"), ("data.size", "--size")):
        if name in given and not hasattr(recipe.data, name.split(".")[1]):
            instead = f"leave {flag} out, or take folder/{recipe.objective}"
            raise AimganError(f"recipe {recipe.name} makes its own data: {instead}")
    return with_settings(recipe, {**given, **(settings or {})})


def loaded(source: DataSource, console: Console, device: torch.device | str = "cpu") -> Any:
    """Load data, with a bar where they are decoded, and name what was left out."""
    with screen.decoding(console) as progress:
        batches = source.load(progress)
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


def own_features(recipe: Recipe, batches: Any, device: torch.device | str, console: Console) -> FeatureNetwork | None:
    """Return the feature network that a recipe's images are scored by, if there is one."""
    if not isinstance(batches, ImageSet) or isinstance(batches, StackedSet):
        return None
    return feature_network(batches, recipe.features, device, say=lambda text: screen.say(console, text))


def settings_of(recipe: Recipe, seed: int, steps: int) -> dict[str, Any]:
    """What makes a run the run it is, as JSON gives it back."""
    return json.loads(json.dumps({"recipe": to_dict(recipe), "seed": seed, "steps": steps}))


def recorded(run: RunDir) -> tuple[Recipe, int]:
    """Return the recipe and the seed that a run was made with. Raises AimganError where the folder holds no run."""
    record = run.read()
    if record is None:
        raise AimganError(f"{run.path} holds no run (no run.json): check the path, or train one")
    return from_dict(record["settings"]["recipe"]), record["settings"]["seed"]


def _loop(
    recipe: Recipe,
    batches: Any,
    engine: Engine,
    run: RunDir,
    steps: int,
    config: ModelConfig,
    network: FeatureNetwork | None,
) -> Loop:
    epoch = batches.epoch_size // recipe.batch_size
    cluster = engine.accelerator
    value_range = recipe.networks.value_range

    def batch(step: int) -> torch.Tensor:
        x = batches.batch(engine.seed, step, recipe.batch_size, cluster.process_index, cluster.num_processes)
        return to_range(x.to(cluster.device), value_range)

    def evaluated(step: int) -> dict[str, float]:
        model = model_of(engine, config)
        scores = progress_scores(model, batches, engine.seed)  # before batch norm is re-estimated
        running = {f"{name}_running": value for name, value in scores.items()}
        model.reestimate_batch_norm(engine.seed, data=lambda k: batch_of(batches, engine.seed, k))
        return {"epoch": round(step / epoch, 4), **progress_scores(model, batches, engine.seed, network), **running}

    return Loop(
        engine=engine,
        batch=batch,
        rate=learning_rate(recipe.schedule, recipe.lr, steps, epoch, recipe.final_lr),
        steps=steps,
        run=run,
        batch_size=recipe.batch_size,
        log_every=max(1, min(100, epoch, steps // 20)),
        evaluate=evaluated if recipe.evaluate_every and (config.encoder or network) else None,
        evaluate_every=round(recipe.evaluate_every * epoch),
        checkpoint_seconds=recipe.checkpoint_seconds,
    )


def _finished(run: RunDir, steps: int) -> bool:
    """Whether the run's last act, its evaluation, has been written for this number of steps."""
    try:
        return json.loads(run.evaluation.read_text(encoding="utf-8"))["steps"] == steps and run.model.exists()
    except (OSError, ValueError, KeyError):
        return False


def resolved_device(name: str) -> str:
    """Return "cpu" or "cuda" for auto, cpu or cuda. Raises AimganError for another name, or no GPU."""
    if name not in DEVICES:
        raise near_miss("device", name, DEVICES)
    if name == "cuda" and not torch.cuda.is_available():
        raise AimganError("device cuda was asked for, but torch sees no GPU here: use --device cpu, or auto")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
