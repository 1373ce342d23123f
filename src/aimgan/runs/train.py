"""One run, from a recipe to a folder: what `aimgan train` calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from aimgan import console as screen
from aimgan.data import ImageSet
from aimgan.errors import AimganError
from aimgan.evaluation.collapse import collapse_signs
from aimgan.evaluation.evaluate import progress_scores
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.model import LatentVariableModel
from aimgan.objectives import Objective
from aimgan.recipes.assemble import assemble, config_of, engine_of, model_of, synchronise_batch_norm
from aimgan.recipes.recipe import Recipe
from aimgan.recipes.resolving import Flags, Plan, resolve
from aimgan.runs.finish import batch_of, drawn, finish, pictures
from aimgan.runs.job import Job
from aimgan.runs.refit import refitted
from aimgan.runs.timing import with_length
from aimgan.signals import interrupt, on_signal
from aimgan.training.engine import Engine
from aimgan.training.loop import Loop, learning_rate
from aimgan.training.precision import deterministic, float32_products, mixed
from aimgan.training.processes import accelerator_for, ends_of_others
from aimgan.training.threads import as_many_as_pay
from aimgan.training.tracking import Tracking

Network = Callable[[], FeatureNetwork | None]  # makes the network that images are scored by, at its first call


def train(
    recipe: str | Recipe,
    output: str | Path | None = None,
    *,
    data: Any = None,
    data_b: str | Path | None = None,
    size: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    extend: bool = False,
    new_data: bool = False,
    track: Sequence[str] | None = (),
    console: Console | None = None,
) -> LatentVariableModel:
    """Train a recipe, or go on with it where it was stopped, and return the model.

    Args:
        recipe: a name such as "grid/aim", or a Recipe.
        output: the run's folder; runs/<data>-<objective>[-<preset>] without one. It gets run.json, metrics.jsonl,
            checkpoints/, model/, evaluation.json, figures/, report.md and report.html.
        data: where images are: a folder, a zip, tar shards, arrays, parquet, or a Hub id. Or the data themselves: an
            array, a tensor, a list of PIL images, a torch Dataset or DataLoader (aimgan.data.in_memory), or an object
            that is an aimgan.data.Batches.
        data_b: where the images of the second data set are, for the recipes pairs/*.
        size: the side that images are scaled and cropped to.
        seed: of everything random.
        steps: how many, instead of the recipe's.
        minutes: about how long, instead of steps; a few seconds of training tell how many steps that is.
        device: "auto", "cpu" or "cuda".
        settings: what `--set` takes: options of the objective, numbers of the recipe, `networks.*` and `data.*`.
        preset: paper, quick, cpu, residual or residual-cpu (recipes/presets.py).
        extend: allow more steps than the run was begun with.
        new_data: allow other images than the run was begun with.
        track: names of trackers; None is TensorBoard where it is installed (docs/training.md).
        console: where progress is shown. By default it is shown in a notebook only.

    The same call goes on from the newest checkpoint, or returns the finished model. Under torchrun or `accelerate
    launch` the processes share each batch (docs/distributed.md).

    Raises AimganError for an unknown name, a wrong setting, no data, or a folder that holds another run; Interrupted
    after SIGINT or SIGTERM, when the state is saved.
    """
    flags = Flags(data=data, data_b=data_b, size=size, seed=seed, steps=steps, minutes=minutes, device=device,
                  settings=settings, preset=preset, extend=extend, new_data=new_data, track=track)  # fmt: skip
    plan = resolve(recipe, output, flags)
    accelerator = accelerator_for(plan.device, mixed(plan.recipe.precision))
    products = float32_products(plan.recipe.precision, accelerator.device)
    kernels = deterministic(plan.recipe.deterministic, accelerator.device)
    with ends_of_others(accelerator.num_processes), products, kernels:
        job = Job.begun(plan, accelerator, console or screen.default())
        objective = assemble(job.plan.recipe, plan.seed, accelerator.device)  # refuses a wrong option before the folder
        with as_many_as_pay(objective, job.plan.recipe.batch_size, accelerator.device):
            job = with_length(job)
            network = job.feature_network()
            with job.locked_folder():
                if not job.is_complete():
                    carry_out(job, objective, network)
            return job.finished_model()


def carry_out(job: Job, objective: Objective, network: Network) -> None:
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
    if plan.recipe.compile:
        compile_step(engine, job)
    screen.say_where(console, start, plan.steps, loop.saved_by, processes.world)
    loop.warn, loop.report = tracking.warn, tracking.row
    stop = interrupt(f"stopped after step {plan.steps} of {plan.steps}, before the run's evaluation was written")
    with tracking.opened():
        with screen.training(console, plan.recipe.name, start, plan.steps) as loop.progress:
            loop.train(start)
        model = model_of(engine, config)
        if plan.recipe.refit:
            model.reestimate_batch_norm(plan.seed, data=lambda k: batch_of(job.data, plan.seed, k))
            model = refitted(model, job, max(1, round(plan.recipe.refit * plan.steps)))
        with on_signal(stop):
            if loop.signalled:
                stop()
            if processes.first:
                scores = finish(model, job.data, job.folder, plan, console, network())
                if tracking.on:
                    tracking.final(plan.steps, scores, drawn(job.folder))
            processes.wait()  # do not leave: where one process fails now, all of them are started again


def compile_step(engine: Engine, job: Job) -> None:
    """Compile the engine's step, or say in one line why it runs as it is."""
    screen.say(job.console, "compiling the step: up to some minutes, before the first step")
    try:
        engine.compile(job.batch(0))
    except AimganError as reason:
        screen.say(job.console, f"{reason}: it runs uncompiled, and its last digits may differ", "warning:")


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


def training_loop(job: Job, engine: Engine) -> Loop:
    """Return the loop that takes an engine through a plan's steps."""
    plan, recipe = job.plan, job.plan.recipe
    epoch = job.data.epoch_size // recipe.batch_size  # steps

    return Loop(
        engine=engine,
        batch=job.batch,
        rate=learning_rate(recipe.schedule, recipe.lr, plan.steps, epoch, recipe.final_lr),
        steps=plan.steps,
        run=job.folder,
        batch_size=recipe.batch_size,
        log_every=max(1, min(100, epoch, plan.steps // 20)),
        evaluate_every=round(recipe.evaluate_every * epoch),
        checkpoint_seconds=recipe.checkpoint_seconds,
        processes=job.processes,
    )


def evaluation(
    job: Job, make_model: Callable[[], LatentVariableModel], network: Network, tracking: Tracking
) -> Callable[[int], Mapping[str, Any]]:
    """Return what scores the model while it trains, given the step."""
    data, seed = job.data, job.plan.seed
    epoch = data.epoch_size // job.plan.recipe.batch_size

    def scores(step: int) -> Mapping[str, Any]:
        model = make_model()
        running = progress_scores(model, data, seed)  # before batch norm is re-estimated
        model.reestimate_batch_norm(seed, data=lambda k: batch_of(data, seed, k))
        found: dict[str, Any] = {"epoch": round(step / epoch, 4)}
        found |= progress_scores(model, data, seed, network())
        found |= collapse_signs(model, data, seed)
        found |= {f"{name}_running": value for name, value in running.items()}
        tracking.show(lambda: pictures(model, data, seed))
        return found

    return scores
