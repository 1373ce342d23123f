"""Figure 3 for any set of methods, a row each, from the models of Table 2's cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from aimgan import noise
from aimgan.data import Mixture
from aimgan.experiments import console as screen
from aimgan.experiments.finish import DATA_POINTS, OTHER_POINTS
from aimgan.experiments.recipes import RECIPES
from aimgan.experiments.reproduction.cells import Outcome
from aimgan.experiments.reproduction.parallel import run_all
from aimgan.experiments.reproduction.request import Request
from aimgan.figures import Figure3Row, figure3_rows
from aimgan.hub import load
from aimgan.model import LatentVariableModel

NAME = "figure3.png"


def figure3(request: Request, console: Console) -> tuple[list[Path], list[Outcome]]:
    """Run the cells that have no result, draw those that have a model, and return the file and all outcomes."""
    seed = request.seeds[0]
    todo = [request.cell(method, seed) for method in request.methods]
    outcomes = run_all(todo, request.folder, request.workers, console, request.retry)
    data: Any = RECIPES[todo[0].recipe].data.load()
    rows = []
    for method, cell, outcome in zip(request.methods, todo, outcomes, strict=True):
        if outcome.state == "finished":
            rows.append(points(load(request.folder / cell.name), data, seed, method.label))
        else:
            screen.say(console, f"{method.label} is left out: {outcome.state}", "warning:")
    if not rows:
        return [], outcomes
    figure = figure3_rows(data.sample(DATA_POINTS, noise.generator(seed, "figure data")), rows)
    figure.savefig(request.output / NAME, metadata={"Software": None})
    return [request.output / NAME], outcomes


def points(model: LatentVariableModel, data: Mixture, seed: int, label: str) -> Figure3Row:
    """Return what a model's row shows: codes and reconstructions of held-out data, and samples."""
    samples = model.generate(OTHER_POINTS, noise.generator(seed, "figure samples"))
    if model.E is None:
        return Figure3Row(label, None, None, samples)
    codes = model.encode(data.test(OTHER_POINTS)).mean
    return Figure3Row(label, codes, model.decode(codes), samples)
