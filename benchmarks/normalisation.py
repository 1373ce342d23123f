"""What batch-norm statistics do to reconstruction errors: every objective with an encoder, on the embedded digits.

    python benchmarks/normalisation.py [--workers 2]

Three seeds of each recipe digits/<objective>; the same weights are scored in five ways (test error, [0, 1] scale):

    batch      as in training: each batch of 100 test images is normalised by its own statistics
    running    by the running averages of the training, which mix all that passed a network
    before     as aimgan scored until November 2026: G by codes of the prior for every objective
    now        as it scores today: each network by what it sees in training in that use
    by codes   G by the codes mu(x) of training images (`reconstruction_mse_renormalised`)

A run that is done is not done again (benchmarks/runs/normalisation, not in git). Writes results/normalisation.json
and .md.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import reduce
from operator import add
from statistics import fmean, stdev
from typing import Any

import common
import torch
from rich.console import Console

from aimgan.data import ImageSet
from aimgan.evaluation.evaluate import reconstruction, renormalised
from aimgan.metrics import ReconstructionError
from aimgan.model import LatentVariableModel, to_range
from aimgan.objectives import OBJECTIVES
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble, config_of, model_of
from aimgan.recipes.resolving import fitted
from aimgan.runs.finish import batch_of
from aimgan.runs.loading import loaded
from aimgan.runs.train import engine_of
from aimgan.training.engine import Engine
from aimgan.training.environment import environment
from aimgan.training.loop import learning_rate
from aimgan.training.processes import accelerator_for

RUNS = common.RUNS / "normalisation"
SEEDS = (0, 1, 2)
WAYS = ("batch", "running", "before", "now", "by codes")
NOTE = (
    "Test error of reconstructions of the embedded digits, mean ± sample standard deviation over seeds 0, 1, 2. batch: "
    "normalised by each test batch's own statistics, as in training; running: by the running averages; before: as "
    "scored until November 2026, G by codes of the prior; now: each network by what it sees in training in that use "
    "(the columns G and E say what); by codes: G by the codes of training images. Only G has batch norm in these "
    "networks."
)


def trained(name: str, seed: int) -> tuple[Engine, ImageSet, Any]:
    """Train a recipe without a run's folder."""
    recipe = RECIPES[f"digits/{name}"]
    data = loaded(recipe.data, Console(quiet=True))
    recipe = fitted(recipe, data)
    engine = engine_of(recipe, assemble(recipe, seed), accelerator_for("cpu"), seed)
    steps = recipe.length(data.epoch_size // recipe.batch_size)
    rate = learning_rate(recipe.schedule, recipe.lr, steps, data.epoch_size // recipe.batch_size, recipe.final_lr)
    for step in range(steps):
        x = data.batch(seed, step, recipe.batch_size)
        engine.step(to_range(x, recipe.networks.value_range), step, rate(step))
    return engine, data, recipe


def error_by_own_batch(model: LatentVariableModel, data: ImageSet) -> float:
    """Return the error of reconstructions whose networks are in training mode, 100 test images at a time."""
    parts = []
    for x in data.chunks(size=100):
        model.train()
        with torch.no_grad():
            codes = model.E_of(generated=False)(model.to_networks(x)).mean
            inside = model.G_of(inferred=True)(codes)
        low, high = model.config.family().value_range or (0.0, 1.0)
        parts.append(ReconstructionError.of(x, (inside - low) / (high - low)))
    model.eval()
    return reduce(add, parts).mean


def measured(run: tuple[str, int]) -> dict[str, Any]:
    """Return the test errors of one run, scored in all ways; from its file if it is done."""
    name, seed = run
    path = RUNS / f"{name}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    torch.set_num_threads(1)
    engine, data, recipe = trained(name, seed)
    config = config_of(recipe, {})

    def error(model: LatentVariableModel) -> float:
        return reconstruction(model, data)["reconstruction_mse"]

    def reestimated(model: LatentVariableModel) -> LatentVariableModel:
        model.reestimate_batch_norm(seed, data=lambda k: batch_of(data, seed, k))
        return model

    before = replace(config, G_sees="prior", E_sees="prior" if config.reads_features else "data")
    now = reestimated(model_of(engine, config))
    errors = {
        "batch": error_by_own_batch(model_of(engine, config), data),
        "running": error(model_of(engine, config)),
        "before": error(reestimated(model_of(engine, before))),
        "now": error(now),
        "by codes": renormalised(now, data, seed).get("reconstruction_mse_renormalised", error(now)),
    }
    made = {"objective": name, "seed": seed, "G_sees": config.G_sees, "E_sees": config.E_sees, "errors": errors}
    made["environment"] = environment()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=1) + "\n")
    print(name, seed, errors, flush=True)
    return made


def lines(cells: list[dict[str, Any]]) -> list[list[str]]:
    """Return the table's rows: an objective's errors over its seeds."""
    rows = []
    for name in dict.fromkeys(made["objective"] for made in cells):
        own = [made for made in cells if made["objective"] == name]
        row = [name, own[0]["G_sees"], own[0]["E_sees"]]
        for way in WAYS:
            errors = [made["errors"][way] for made in own]
            row.append(f"{fmean(errors):.4f} ± {stdev(errors):.4f}")
        rows.append(row)
    return rows


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--workers", type=int, default=2)
    workers = parser.parse_args().workers
    names = [name for name, objective in OBJECTIVES.items() if objective.posterior is not None]  # type: ignore[attr-defined]
    with ProcessPoolExecutor(workers) as pool:
        cells = list(pool.map(measured, [(name, seed) for name in names for seed in SEEDS]))
    result = {**common.about("python benchmarks/normalisation.py"), "cells": cells}
    page = common.table(("objective", "G sees", "E sees", *WAYS), lines(cells))
    common.write(common.RESULTS / "normalisation.json", result, f"{common.origin(result)}. {NOTE}\n\n{page}")


if __name__ == "__main__":
    main()
