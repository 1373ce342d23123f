"""One run from a recipe to a folder: what `aimgan train` calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console

from aimgan import console as screen
from aimgan.checked import integer, read_json
from aimgan.data import ImageSet
from aimgan.errors import AimganError, near_miss
from aimgan.evaluation.evaluate import collapse_signs, progress_scores
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.model import LatentVariableModel, ModelConfig, to_range
from aimgan.objectives import Objective
from aimgan.recipes.assemble import assemble, config_of, model_of, synchronise_batch_norm
from aimgan.recipes.recipe import Recipe
from aimgan.recipes.resolving import prepared, settings_of
from aimgan.runs.finish import batch_of, drawn, finish, pictures
from aimgan.runs.loading import fitted_or_begun, loaded, own_features, told
from aimgan.sharing.hub import load
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import Loop, learning_rate
from aimgan.training.precision import float32_products, mixed
from aimgan.training.processes import Processes, accelerator_for, ends_of_others
from aimgan.training.run_dir import RunDir
from aimgan.training.signals import interrupt, on_signal
from aimgan.training.tracking import Tracking, trackers

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
    new_data: bool = False,
    track: Sequence[str] | None = (),
    console: Console | None = None,
) -> LatentVariableModel:
    """Train a recipe, or go on with it where it was stopped, and return the model.

    The run's folder (`output`, runs/<data>-<objective>[-<preset>] without one) gets run.json, metrics.jsonl,
    checkpoints/, model/, evaluation.json, figures/, report.md and report.html. The same call goes on from the newest
    checkpoint, or returns the finished model. `preset` is paper, quick or cpu (recipes/presets.py); `settings` is
    `--set`: objective options, the recipe's numbers, `networks.*` and `data.*`. `extend` allows more steps than the run
    was begun with, `new_data` other images. `track` names trackers, None is TensorBoard where it is installed
    (docs/tracking.md). Under torchrun or `accelerate launch` the processes share each batch (docs/distributed.md).

    Raises AimganError for an unknown name, a bad setting, no data, or a folder that holds another run; Interrupted
    after SIGINT or SIGTERM, with the state saved.
    """
    seed = integer("seed", seed)
    recipe, track = prepared(recipe, data, size, steps, settings, preset), trackers(track)
    accelerator = accelerator_for(resolved_device(device), mixed(recipe.precision))
    run = RunDir(output or Path("runs") / "-".join([*recipe.name.split("/"), *([preset] if preset else [])]))
    with ends_of_others(accelerator.num_processes):
        processes = Processes.of(accelerator)
        console = console if console and processes.first else Console(quiet=True)
        batches = loaded(recipe.data, console, accelerator.device)
        recipe, steps = fitted_or_begun(recipe, batches, run.read() if new_data else None, extend)
        read = told(recipe, batches, console) if processes.first else None
        processes.share(recipe.batch_size)
        objective = assemble(recipe, seed, accelerator.device)  # a wrong option is refused before there is a folder
        total = steps or recipe.length(batches.epoch_size // recipe.batch_size)
        features = partial(own_features, recipe, batches, accelerator.device, console)
        network = features() if (new := processes.first and run.read() is None) else None  # refused beforehand too
        with run.held() if processes.first else nullcontext():
            opening = partial(_opened, run, settings_of(recipe, seed, total), extend, read, new_data, console)
            if not processes.integer(processes.first and opening()):
                network = network if new or not processes.first else features()
                warn = partial(screen.say, console, mark="warning:")
                tracking = Tracking(run, track if processes.first else (), warn)
                _carry_out(recipe, objective, batches, seed, total, accelerator, console, network, processes, tracking)
        return _loaded(run, processes, config_of(recipe, {}))


def _opened(
    run: RunDir,
    settings: Mapping[str, Any],
    extend: bool,
    read: Mapping[str, Any] | None,
    new_data: bool,
    console: Console,
) -> bool:
    """Open the run's folder, say what differs from its beginning, and return whether the run is complete."""
    for warning in run.begin(settings, extend, read, new_data):
        screen.say(console, warning, "warning:")
    if not _finished(run, settings["steps"]):
        return False
    screen.say(console, f"{run.path} is complete: {settings['steps']:,} steps")
    return True


def _loaded(run: RunDir, processes: Processes, config: ModelConfig) -> LatentVariableModel:
    """Return the finished model, on every process: the folder need be on the first one's machine only."""
    if processes.world == 1:
        return load(run.path)
    tensors = processes.tensors(load(run.path).state_dict() if processes.first else {})
    model = LatentVariableModel.build(config)
    model.load_state_dict(tensors)
    return model


def _carry_out(
    recipe: Recipe,
    objective: Objective,
    batches: Any,
    seed: int,
    steps: int,
    accelerator: Accelerator,
    console: Console,
    network: FeatureNetwork | None,
    processes: Processes,
    tracking: Tracking,
) -> None:
    """Train from wherever the run stands, then finish it on the first process while the others wait."""
    about = {"recipe": recipe.name, "seed": seed, "steps": steps, "batch_size": recipe.batch_size, "lr": recipe.lr}
    scale = batches.images.scale if isinstance(batches, ImageSet) else None
    about |= {"options": dict(recipe.options), **({"scale": list(scale)} if scale else {})}
    config = config_of(recipe, about)
    for warning in synchronise_batch_norm(objective, accelerator):
        screen.say(console, warning, "warning:")
    engine = engine_of(recipe, objective, accelerator, seed)
    loop = _loop(recipe, batches, engine, steps, config, network, processes, tracking)
    start = loop.resume()
    screen.say_where(console, start, steps, loop.saved_by, processes.world)
    loop.warn, loop.report = tracking.warn, tracking.row
    products = float32_products(recipe.precision, accelerator.device)
    stop = interrupt(f"stopped after step {steps} of {steps}, before the run's evaluation was written")
    with tracking.opened():
        with products, screen.training(console, recipe.name, start, steps) as loop.progress:
            loop.train(start)
        with on_signal(stop):
            if loop.signalled:
                stop()
            if processes.first:
                scores = finish(model_of(engine, config), batches, tracking.run, recipe, seed, console, network)
                if tracking.on:
                    tracking.final(steps, scores, drawn(tracking.run))
            processes.wait()  # not leave: where one process fails now, all of them are started again


def engine_of(recipe: Recipe, objective: Objective, accelerator: Accelerator, seed: int) -> Engine:
    """Return the engine that trains a recipe's players; on one GPU a step is one CUDA graph."""
    graph = accelerator.device.type == "cuda" and accelerator.num_processes == 1
    rule = Adam(recipe.beta1, recipe.beta2)
    engine = Engine(objective, rule, accelerator, seed, recipe.ema, recipe.channels_last)
    if graph:
        engine.use_graph()
    return engine


def _loop(
    recipe: Recipe,
    batches: Any,
    engine: Engine,
    steps: int,
    config: ModelConfig,
    network: FeatureNetwork | None,
    processes: Processes,
    tracking: Tracking,
) -> Loop:
    epoch, cluster = batches.epoch_size // recipe.batch_size, engine.accelerator
    value_range = recipe.networks.value_range

    def batch(step: int) -> torch.Tensor:
        x = batches.batch(engine.seed, step, recipe.batch_size, cluster.process_index, cluster.num_processes)
        return to_range(x.to(cluster.device), value_range)

    def evaluated(step: int) -> dict[str, float]:
        model = model_of(engine, config)
        scores = progress_scores(model, batches, engine.seed)  # before batch norm is re-estimated
        running = {f"{name}_running": value for name, value in scores.items()}
        model.reestimate_batch_norm(engine.seed, data=lambda k: batch_of(batches, engine.seed, k))
        final = progress_scores(model, batches, engine.seed, network) | collapse_signs(model, batches, engine.seed)
        tracking.show(lambda: pictures(model, batches, engine.seed))
        return {"epoch": round(step / epoch, 4), **final, **running}

    return Loop(
        engine=engine,
        batch=batch,
        rate=learning_rate(recipe.schedule, recipe.lr, steps, epoch, recipe.final_lr),
        steps=steps,
        run=tracking.run,
        batch_size=recipe.batch_size,
        log_every=max(1, min(100, epoch, steps // 20)),
        evaluate=evaluated if recipe.evaluate_every else None,
        evaluate_every=round(recipe.evaluate_every * epoch),
        checkpoint_seconds=recipe.checkpoint_seconds,
        processes=processes,
    )


def _finished(run: RunDir, steps: int) -> bool:
    """Whether the run's last act, its evaluation, has been written for this number of steps."""
    try:
        return read_json(run.evaluation)["steps"] == steps and run.model.exists()
    except (OSError, ValueError, KeyError):
        return False


def resolved_device(name: str) -> str:
    """Return "cpu" or "cuda" for auto, cpu or cuda. Raises AimganError for another name, or no GPU."""
    if name not in DEVICES:
        raise near_miss("device", name, DEVICES)
    if name == "cuda" and not torch.cuda.is_available():
        raise AimganError("device cuda was asked for, but torch sees no GPU here: use --device cpu, or auto")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
