"""Runs that leave nothing but their mode scores: for maps of hundreds of short ones, many in one process.

What is spared is the start of a process, checkpoints, figures and all scores but the modes'. Alone, a run has the
weights of `aimgan train` with the same settings, bit for bit; side by side (training/ensemble.py), up to the order of
additions.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from multiprocessing.synchronize import Event
from typing import Any

import torch
from torch import Tensor

from aimgan import noise
from aimgan.data import Mixture
from aimgan.evaluation import evaluate as evaluation
from aimgan.paper.cells import Cell
from aimgan.recipes.assemble import assemble, config_of, model_of
from aimgan.recipes.recipe import Recipe
from aimgan.runs.train import engine_of
from aimgan.training.engine import Engine
from aimgan.training.ensemble import Ensemble, Member, NotVectorised
from aimgan.training.loop import NonFiniteLoss, learning_rate
from aimgan.training.precision import float32_products, mixed
from aimgan.training.processes import accelerator_for
from aimgan.training.run_dir import environment

CHECK_EVERY = 100  # steps between two looks at the losses
ENVIRONMENT = ("aimgan", "python", "torch", "processor", "threads")
_stop: Event | None = None
_parent: int | None = None


def begin(stop: Event, parent: int) -> None:
    """Prepare a worker process: one thread, and it ends by the event only, or when its parent is gone."""
    global _stop, _parent
    _stop, _parent = stop, parent
    torch.set_num_threads(1)
    for s in (signal.SIGINT, signal.SIGTERM):  # a terminal's Ctrl-C reaches workers too: the parent decides
        signal.signal(s, signal.SIG_IGN)


def _told_to_stop() -> bool:
    if _parent is not None and os.getppid() != _parent:
        os._exit(1)  # nobody waits for the result
    return _stop is not None and _stop.is_set()


def rows(cells: Sequence[Cell]) -> list[dict[str, Any]] | None:
    """Train cells that differ in their settings' values and seeds only, and return a row each; None if told to stop."""
    begun = time.monotonic()
    try:
        scores = _side_by_side(cells)
    except NotVectorised:  # this objective's step has several parts: one after another
        made = [row(cell) for cell in cells]
        return None if None in made else [one for one in made if one is not None]
    if scores is None:
        return None
    seconds = round((time.monotonic() - begun) / len(cells), 2)
    return [{**found, "seconds": seconds, "environment": _here()} for found in scores]


def _side_by_side(cells: Sequence[Cell]) -> list[dict[str, Any]] | None:
    """Return each cell's scores, or why it stopped; None if told to stop."""
    recipes, seeds = [cell.ready[0] for cell in cells], [cell.seed for cell in cells]
    first, data = cells[0].ready
    epoch = data.epoch_size // first.batch_size
    steps = first.length(epoch)
    rates = [learning_rate(r.schedule, r.lr, steps, epoch, r.final_lr) for r in recipes]
    numbers = [name for name in first.options if len({recipe.options[name] for recipe in recipes}) > 1]
    players = [assemble(recipe, seed) for recipe, seed in zip(recipes, seeds, strict=True)]
    probe = data.batch(seeds[0], 0, first.batch_size)
    betas = [recipe.beta1 for recipe in recipes]
    ensemble = Ensemble(players, seeds, probe, betas, first.beta2, first.ema, numbers)
    errors: list[str | None] = [None] * len(cells)
    for step in range(steps):
        if _told_to_stop():
            return None
        batches = {seed: data.batch(seed, step, first.batch_size) for seed in dict.fromkeys(seeds)}
        losses = ensemble.step(torch.stack([batches[s] for s in seeds]), step, [rate(step) for rate in rates])
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
            bad = (~losses.isfinite().all(dim=0)).tolist()
            errors = [error or (f"a loss is not finite by step {step + 1}" if is_bad else None)
                      for error, is_bad in zip(errors, bad, strict=True)]  # fmt: skip
    ended = zip(cells, recipes, errors, range(len(cells)), strict=True)
    return [_ended(cell, recipe, ensemble.member(k), data, error) for cell, recipe, error, k in ended]


def _ended(cell: Cell, recipe: Recipe, member: Member, data: Mixture, error: str | None) -> dict[str, Any]:
    if error:
        return {"scores": None, "error": error}
    try:
        return {"scores": _scores(member, recipe, data, cell.seed), "error": None}
    except NonFiniteLoss as diverged:
        return {"scores": None, "error": str(diverged)}


def row(cell: Cell) -> dict[str, Any] | None:
    """Train a cell and return its scores, or why it stopped; None if the worker was told to stop."""
    begun = time.monotonic()
    made: dict[str, Any] = {"scores": None, "error": None}
    try:
        made["scores"] = mode_scores(cell)
    except NonFiniteLoss as diverged:
        made["error"] = str(diverged)
    if made["scores"] is None and made["error"] is None:
        return None
    return made | {"seconds": round(time.monotonic() - begun, 2), "environment": _here()}


def _here() -> dict[str, Any]:
    here = environment()
    return {name: here[name] for name in ENVIRONMENT}


def mode_scores(cell: Cell) -> dict[str, Any] | None:
    """Train a cell and score 50,000 samples; None if told to stop. Raises NonFiniteLoss."""
    recipe, data = cell.ready
    accelerator = accelerator_for(cell.device, mixed(recipe.precision))
    players = assemble(recipe, cell.seed, accelerator.device)
    engine = engine_of(recipe, players, accelerator, cell.seed)
    with float32_products(recipe.precision, accelerator.device):
        trained = _train(engine, recipe, data)
    return _scores(engine, recipe, data, cell.seed) if trained else None


def _scores(trained: Engine | Member, recipe: Recipe, data: Mixture, seed: int) -> dict[str, Any]:
    """Score 50,000 samples. Raises NonFiniteLoss."""
    model = model_of(trained, config_of(recipe, {}))
    model.reestimate_batch_norm(seed)
    samples = model.to("cpu").generate(evaluation.SAMPLES, noise.generator(seed, "evaluate"))
    if not bool(samples.isfinite().all()):
        raise NonFiniteLoss("its samples are not finite")
    scores = evaluation.modes(samples, data)
    return {name: scores[name] for name in ("modes", "high_quality", "mode_kl", "mode_spread")}


def _train(engine: Engine, recipe: Recipe, data: Mixture) -> bool:
    """Take all steps, as the loop does; return False if told to stop."""
    epoch = data.epoch_size // recipe.batch_size
    steps, device = recipe.length(epoch), engine.accelerator.device
    rate = learning_rate(recipe.schedule, recipe.lr, steps, epoch, recipe.final_lr)
    for step in range(steps):
        if _told_to_stop():
            return False
        x = data.batch(engine.seed, step, recipe.batch_size).to(device)
        log = engine.step(x, step, rate(step))
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
            _check(log, step + 1)
    return True


def _check(log: Mapping[str, Tensor], step: int) -> None:
    for name, value in log.items():
        if not bool(value.isfinite()):
            raise NonFiniteLoss(f"{name} is {value.item()} by step {step}")
