"""How many steps fit into some minutes, measured on the machine that trains."""

from __future__ import annotations

import time
from typing import Any

import torch
from accelerate import Accelerator

from aimgan.model_inputs import to_range
from aimgan.recipes.assemble import assemble, engine_of
from aimgan.recipes.resolving import Plan

WARM_UP = 3  # steps
SECONDS = 5.0  # of steps that are timed
REFIT_COST = 0.6  # of a step of the last phase, in steps of AIM
SHARE = 0.8  # of the time is for steps; the rest is for evaluation, figures and the report


def steps_in(plan: Plan, data: Any, accelerator: Accelerator) -> int:
    """Return how many steps take `plan.minutes`, rounded to two digits; the networks of the run are not touched."""
    assert plan.minutes is not None
    recipe = plan.recipe
    engine = engine_of(recipe, assemble(recipe, plan.seed, accelerator.device), accelerator, plan.seed)
    share = recipe.batch_size // accelerator.num_processes
    x = data.batch(plan.seed, 0, recipe.batch_size)[:share]
    x = to_range(x.to(accelerator.device), recipe.networks.value_range)
    for step in range(WARM_UP):
        engine.step(x, step, recipe.lr)
    _wait(accelerator)
    begin = time.perf_counter()
    done = 0
    while time.perf_counter() - begin < SECONDS:
        engine.step(x, WARM_UP + done, recipe.lr)
        _wait(accelerator)
        done += 1
    speed = done / (time.perf_counter() - begin)
    steps = SHARE * 60 * plan.minutes * speed / (1 + REFIT_COST * (recipe.refit or 0))
    return max(1, int(float(f"{steps:.2g}")))


def _wait(accelerator: Accelerator) -> None:
    if accelerator.device.type == "cuda":
        torch.cuda.synchronize()
