"""How many steps fit into some minutes, measured on the machine that trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from torch import Tensor

from aimgan import console as screen
from aimgan.errors import AimganError
from aimgan.recipes.assemble import assemble, config_of, engine_of, model_of
from aimgan.runs.job import Job
from aimgan.runs.refit import fitting
from aimgan.training import checkpoint
from aimgan.training.engine import Engine

WARM_UP = 3  # steps
SECONDS = 5.0  # of steps that are timed, of each phase of a run
SHARE = 0.8  # of the time is for steps; the rest is for evaluation, figures and the report


def with_length(job: Job) -> Job:
    """Return the job with as many steps as its plan's minutes allow.

    A run that has been started keeps its steps, unless it is extended: then the minutes are for steps after the last
    that was taken.
    """
    minutes = job.plan.minutes
    if minutes is None:
        return job
    begun = job.processes.of_the_first(job.folder.read() if job.processes.first else None)
    done = 0
    if begun is not None and job.plan.extend:
        newest = checkpoint.newest(job.folder.checkpoints)
        done = job.processes.integer(newest.step if newest else 0)
    if begun is None or job.plan.extend:
        steps = done + steps_in(minutes, job, done)
    else:
        steps = begun["settings"].get("steps", job.plan.steps)
    plan = job.plan.with_steps(job.processes.integer(steps))
    after = f" after the {done:,} that are done" if done else ""
    screen.say(job.console, f"about {minutes:g} minutes are {plan.steps - done:,} steps{after}")
    return replace(job, plan=plan)


def steps_in(minutes: float, job: Job, done: int = 0, clock: Callable[[], float] = time.perf_counter) -> int:
    """Return how many steps after `done` take so many minutes, rounded to two digits.

    The last phase of a run is made again, for all of its steps. The networks of the run are not touched.
    """
    recipe, accelerator = job.plan.recipe, job.accelerator
    engine = engine_of(recipe, assemble(recipe, job.plan.seed, accelerator.device), accelerator, job.plan.seed)
    if recipe.compile:
        with suppress(AimganError):  # the run itself says so
            engine.compile(job.batch(0))
    step = seconds_a_step(engine, job.batch(0), job, clock)
    refit = 0.0
    if recipe.refit:
        encoder = fitting(model_of(engine, config_of(recipe, {})), job)
        refit = recipe.refit * seconds_a_step(encoder.engine, encoder.x, job, clock)
    steps = max(1.0, (SHARE * 60 * minutes - refit * done) / (step + refit))
    return int(float(f"{steps:.2g}"))


def seconds_a_step(engine: Engine, x: Tensor, job: Job, clock: Callable[[], float]) -> float:
    """Return how long a step of the engine takes, in seconds; every process of a launch takes as many."""

    def step(number: int) -> None:
        for loss in engine.step(x, number, job.plan.recipe.lr).values():
            loss.item()  # waits for a GPU

    for number in range(WARM_UP):
        step(number)
    begin = clock()
    timed = 0
    while not timed or job.processes.integer(clock() - begin < SECONDS):
        step(WARM_UP + timed)
        timed += 1
    return (clock() - begin) / timed
