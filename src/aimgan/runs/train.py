"""One run, from a recipe to a folder: what `aimgan train` calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch
from accelerate import Accelerator
from rich.console import Console

from aimgan import console as screen
from aimgan.checked import read_json
from aimgan.data import ImageSet
from aimgan.evaluation.collapse import collapse_signs
from aimgan.evaluation.evaluate import progress_scores
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.model import LatentVariableModel, to_range
from aimgan.objectives import Objective
from aimgan.recipes.assemble import assemble, config_of, model_of, synchronise_batch_norm
from aimgan.recipes.recipe import Recipe
from aimgan.recipes.resolving import Flags, Plan, resolve
from aimgan.runs.finish import batch_of, drawn, finish, pictures
from aimgan.runs.loading import loaded, network_for, say_what_was_read
from aimgan.sharing.hub import load
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import Loop, learning_rate
from aimgan.training.precision import float32_products, mixed
from aimgan.training.processes import Processes, accelerator_for, ends_of_others
from aimgan.training.run_dir import RunDir
from aimgan.training.signals import interrupt, on_signal
from aimgan.training.tracking import Tracking


def train(
    recipe: str | Recipe,
    output: str | Path | None = None,
    *,
    console: Console | None = None,
    **flags: Unpack[Flags],
) -> LatentVariableModel:
    """Train a recipe, or go on with it where it was stopped, and return the model.

    Args:
        recipe: a name such as "grid/aim", or a Recipe.
        output: the run's folder; runs/<data>-<objective>[-<preset>] without one. It gets run.json, metrics.jsonl,
            checkpoints/, model/, evaluation.json, figures/, report.md and report.html.
        console: where progress is printed; nowhere without one.
        data: where images are: a folder, a zip, tar shards, arrays, parquet, or a Hub id.
        size: the side that images are scaled and cropped to.
        seed: of everything random.
        steps: how many, instead of the recipe's.
        device: "auto", "cpu" or "cuda".
        settings: what `--set` takes: options of the objective, numbers of the recipe, `networks.*` and `data.*`.
        preset: paper, quick, cpu, residual or residual-cpu (recipes/presets.py).
        extend: allow more steps than the run was begun with.
        new_data: allow other images than the run was begun with.
        track: names of trackers; None is TensorBoard where it is installed (docs/training.md).

    The same call goes on from the newest checkpoint, or returns the finished model. Under torchrun or `accelerate
    launch` the processes share each batch (docs/distributed.md).

    Raises AimganError for an unknown name, a wrong setting, no data, or a folder that holds another run; Interrupted
    after SIGINT or SIGTERM, when the state is saved.
    """
    plan = resolve(recipe, output, flags)
    accelerator = accelerator_for(plan.device, mixed(plan.recipe.precision))
    with ends_of_others(accelerator.num_processes):
        job = Job.begun(plan, accelerator, console)
        objective = assemble(job.plan.recipe, plan.seed, accelerator.device)  # refuses a wrong option before the folder
        network = job.feature_network()
        with job.locked_folder():
            if not job.is_complete():
                carry_out(job, objective, network)
        return job.finished_model()


@dataclass(frozen=True)
class Job:
    """A plan on its way: its data, its folder, and the processes that share the work."""

    plan: Plan
    data: Any
    folder: RunDir
    accelerator: Accelerator
    processes: Processes
    console: Console

    @classmethod
    def begun(cls, plan: Plan, accelerator: Accelerator, console: Console | None) -> Job:
        """Load the data and fit the plan to them. Every process of a launch must come here."""
        processes = Processes.of(accelerator)
        if console is None or not processes.first:
            console = Console(quiet=True)
        folder = RunDir(plan.output)
        data = loaded(plan.recipe.data, console, accelerator.device)
        plan = plan.fitted(data, folder.read() if plan.new_data else None)
        processes.share(plan.recipe.batch_size)
        return cls(plan, data, folder, accelerator, processes, console)

    def feature_network(self) -> FeatureNetwork | None:
        """Return the network that generated images are scored by, on the process that scores them."""
        if not self.processes.first or self._is_evaluated():
            return None
        return network_for(self.plan.recipe, self.data, self.accelerator.device, self.console)

    @contextmanager
    def locked_folder(self) -> Iterator[None]:
        """Keep other runs out of the folder. It is on the first process's machine."""
        if not self.processes.first:
            yield
            return
        with self.folder.held():
            yield

    def is_complete(self) -> bool:
        """Open the folder, say what differs from its beginning, and return whether the run is complete."""
        complete = False
        if self.processes.first:
            read = say_what_was_read(self.plan.recipe, self.data, self.console)
            for warning in self.folder.begin(self.plan.settings, self.plan.extend, read, self.plan.new_data):
                screen.say(self.console, warning, "warning:")
            complete = self._is_evaluated()
            if complete:
                screen.say(self.console, f"{self.folder.path} is complete: {self.plan.steps:,} steps")
        return bool(self.processes.integer(complete))

    def _is_evaluated(self) -> bool:
        """Return whether the evaluation, a run's last act, has been written for this number of steps."""
        try:
            return read_json(self.folder.evaluation)["steps"] == self.plan.steps and self.folder.model.exists()
        except (OSError, ValueError, KeyError):
            return False

    def finished_model(self) -> LatentVariableModel:
        """Return the model on every process, wherever the folder is."""
        if self.processes.world == 1:
            return load(self.folder.path)
        tensors = load(self.folder.path).state_dict() if self.processes.first else {}
        model = LatentVariableModel.build(config_of(self.plan.recipe, {}))
        model.load_state_dict(self.processes.tensors(tensors))
        return model


def carry_out(job: Job, objective: Objective, network: FeatureNetwork | None) -> None:
    """Train from wherever the run stands, then finish it on the first process while the others wait."""
    plan, console, processes = job.plan, job.console, job.processes
    for warning in synchronise_batch_norm(objective, job.accelerator):
        screen.say(console, warning, "warning:")
    engine = engine_of(plan.recipe, objective, job.accelerator, plan.seed)
    config = config_of(plan.recipe, about(plan, job.data))
    names = plan.trackers if processes.first else ()
    tracking = Tracking(job.folder, names, partial(screen.say, console, mark="warning:"))
    loop = training_loop(job, engine)
    if plan.recipe.evaluate_every:
        loop.evaluate = evaluation(job, partial(model_of, engine, config), network, tracking)
    start = loop.resume()
    screen.say_where(console, start, plan.steps, loop.saved_by, processes.world)
    loop.warn, loop.report = tracking.warn, tracking.row
    stop = interrupt(f"stopped after step {plan.steps} of {plan.steps}, before the run's evaluation was written")
    with tracking.opened():
        products = float32_products(plan.recipe.precision, job.accelerator.device)
        with products, screen.training(console, plan.recipe.name, start, plan.steps) as loop.progress:
            loop.train(start)
        with on_signal(stop):
            if loop.signalled:
                stop()
            if processes.first:
                scores = finish(model_of(engine, config), job.data, job.folder, plan, console, network)
                if tracking.on:
                    tracking.final(plan.steps, scores, drawn(job.folder))
            processes.wait()  # do not leave: where one process fails now, all of them are started again


def about(plan: Plan, data: Any) -> dict[str, Any]:
    """Return what a saved model says of its training."""
    recipe = plan.recipe
    told = {
        "recipe": recipe.name,
        "seed": plan.seed,
        "steps": plan.steps,
        "batch_size": recipe.batch_size,
        "lr": recipe.lr,
        "options": dict(recipe.options),
    }
    if isinstance(data, ImageSet) and data.images.scale:
        told["scale"] = list(data.images.scale)
    return told


def engine_of(recipe: Recipe, objective: Objective, accelerator: Accelerator, seed: int) -> Engine:
    """Return the engine that trains a recipe's players; on one GPU a step is one CUDA graph."""
    rule = Adam(recipe.beta1, recipe.beta2)
    engine = Engine(objective, rule, accelerator, seed, recipe.ema, recipe.channels_last)
    if accelerator.device.type == "cuda" and accelerator.num_processes == 1:
        engine.use_graph()
    return engine


def training_loop(job: Job, engine: Engine) -> Loop:
    """Return the loop that takes an engine through a plan's steps."""
    plan, recipe, processes = job.plan, job.plan.recipe, job.processes
    epoch = job.data.epoch_size // recipe.batch_size  # steps

    def batch(step: int) -> torch.Tensor:
        x = job.data.batch(plan.seed, step, recipe.batch_size, processes.rank, processes.world)
        return to_range(x.to(job.accelerator.device), recipe.networks.value_range)

    return Loop(
        engine=engine,
        batch=batch,
        rate=learning_rate(recipe.schedule, recipe.lr, plan.steps, epoch, recipe.final_lr),
        steps=plan.steps,
        run=job.folder,
        batch_size=recipe.batch_size,
        log_every=max(1, min(100, epoch, plan.steps // 20)),
        evaluate_every=round(recipe.evaluate_every * epoch),
        checkpoint_seconds=recipe.checkpoint_seconds,
        processes=processes,
    )


def evaluation(
    job: Job, make_model: Callable[[], LatentVariableModel], network: FeatureNetwork | None, tracking: Tracking
) -> Callable[[int], Mapping[str, Any]]:
    """Return what scores the model while it trains, given the step."""
    data, seed = job.data, job.plan.seed
    epoch = data.epoch_size // job.plan.recipe.batch_size

    def scores(step: int) -> Mapping[str, Any]:
        model = make_model()
        running = progress_scores(model, data, seed)  # before batch norm is re-estimated
        model.reestimate_batch_norm(seed, data=lambda k: batch_of(data, seed, k))
        found: dict[str, Any] = {"epoch": round(step / epoch, 4)}
        found |= progress_scores(model, data, seed, network)
        found |= collapse_signs(model, data, seed)
        found |= {f"{name}_running": value for name, value in running.items()}
        tracking.show(lambda: pictures(model, data, seed))
        return found

    return scores
