"""Figure 3 for any set of methods, a row each, from the models of Table 2's cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from aimgan import console as screen
from aimgan.figures import Figure3Row, figure3_rows
from aimgan.paper.cells import Outcome
from aimgan.paper.parallel import run_all
from aimgan.paper.request import Request
from aimgan.recipes import RECIPES
from aimgan.runs.finish import data_points, points_of, save
from aimgan.sharing.hub import load

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
            rows.append(Figure3Row(method.label, *points_of(load(request.folder / cell.name), data, seed)))
        else:
            screen.say(console, f"{method.label} is left out: {outcome.state}", "warning:")
    if not rows:
        return [], outcomes
    figure = figure3_rows(data_points(data, seed), rows)
    return [save(figure, request.output / NAME)], outcomes
