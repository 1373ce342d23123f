"""Table 2 by one command: methods x seeds, each a run of its own, and the table as JSON, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from aimgan.evaluation.evaluate import evaluate_data
from aimgan.paper import comparison
from aimgan.paper.cells import Cell, Outcome
from aimgan.paper.methods import METHODS, REFERENCES, Method
from aimgan.paper.parallel import run_all
from aimgan.paper.request import Request, without_lists, write_results
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.training.engine import players, trainable

NAME = "table2"


def table2(request: Request, console: Console) -> tuple[list[Path], list[Outcome]]:
    """Run the cells that have no result, write what there is then, and return the files and all outcomes."""
    asked = [(method, seed) for method in request.methods for seed in request.seeds]
    todo = [request.cell(method, seed) for method, seed in asked]
    outcomes = run_all(todo, request.folder, request.workers, console, request.retry)
    results = collected(request, outcomes)
    console.print(comparison.short(results).rich())
    return write(results, request.output), outcomes


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write the results file and what is rendered from it."""
    return write_results(results, folder / f"{NAME}.json", comparison.render(results))


def collected(request: Request, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the results file: where it comes from, the methods, and every cell, method by method."""
    data: Any = RECIPES[request.methods[0].recipe(request.data)].data.load()
    keys = [(method, seed) for method in request.methods for seed in request.seeds]
    cells = [cell_of(request, *key, result) for key, result in zip(keys, outcomes, strict=True)]
    return {
        **request.head(),
        "modes": len(data.means),
        "real": [without_lists(evaluate_data(data, seed)) for seed in request.seeds],
        "methods": [_method(request, method) for method in request.methods],
        "references": [_published(method) for method in references(request)],
        "cells": cells,
    }


def references(request: Request) -> list[Method]:
    """Return the methods with published numbers that are not among those asked for."""
    others = [method for method in (*METHODS.values(), *REFERENCES) if method not in request.methods]
    return [method for method in others if (method.paper or method.pacgan) and request.data == "grid"]


def cell_of(request: Request, method: Method, seed: int, result: Outcome) -> dict[str, Any]:
    """Return a cell as a results file holds it."""
    cell = request.cell(method, seed)
    return {
        "method": method.key,
        "seed": seed,
        "folder": cell.name,
        "command": " ".join(cell.command),
        "state": result.state,
        "scores": without_lists(result.scores) if result.scores is not None else None,
        "environment": result.environment,
        "seconds": result.seconds,
        "error": result.error,
    }


def _method(request: Request, method: Method) -> dict[str, Any]:
    return {**_published(method, request.data == "grid"), **trained_as(request, method)}


def trained_as(request: Request, method: Method) -> dict[str, Any]:
    """Return how a method's cells are trained, as a results file holds it."""
    cell = request.cell(method, request.seeds[0])
    recipe = cell.recorded_settings["recipe"]
    return {
        "objective": method.objective,
        "recipe": cell.recipe,
        "settings": dict(method.settings),
        "steps": cell.length,
        **{name: recipe[name] for name in ("batch_size", "lr", "beta1")},
        "parameters": parameters(cell),
    }


def _published(method: Method, shown: bool = True) -> dict[str, Any]:
    """Return a method's names and the numbers that others published, which belong to the grid."""
    paper = dict(zip(("modes", "high_quality"), method.paper, strict=True)) if method.paper and shown else None
    pacgan = dict(zip(("high_quality", "modes", "kl"), method.pacgan, strict=True)) if method.pacgan and shown else None
    return {"method": method.key, "label": method.label, "paper": paper, "pacgan": pacgan}


def parameters(cell: Cell) -> int:
    """Count what training moves: the parameters of all players."""
    networks = players(assemble(cell.ready[0], seed=0)).values()
    return sum(parameter.numel() for network in networks for parameter in trainable(network).values())
