"""How many steps fit into some minutes, measured on the machine that trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from aimgan import console as screen
from aimgan.recipes.assemble import assemble, engine_of
from aimgan.runs.job import Job
from aimgan.training import checkpoint

WARM_UP = 3  # steps
SECONDS = 5.0  # of steps that are timed
REFIT_COST = 0.6  # of a step of the last phase, in steps of AIM
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
    x = job.batch(0)

    def step(number: int) -> None:
        for loss in engine.step(x, number, recipe.lr).values():
            loss.item()  # waits for a GPU

    for number in range(WARM_UP):
        step(number)
    begin = clock()
    timed = 0
    while job.processes.integer(clock() - begin < SECONDS):  # all must take the same number of steps
        step(WARM_UP + timed)
        timed += 1
    speed = timed / (clock() - begin)
    refit = REFIT_COST * (recipe.refit or 0)
    steps = max(1.0, (SHARE * 60 * minutes * speed - refit * done) / (1 + refit))
    return int(float(f"{steps:.2g}"))
