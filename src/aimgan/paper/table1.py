"""Table 1 by one command: methods x seeds on real images, what a sceptic asks for beside, and the paper's claims."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from rich.console import Console

from aimgan import console as screen
from aimgan.evaluation import references
from aimgan.figures import TradeOff, error_against_distance
from aimgan.files import write_json
from aimgan.paper import claims, table1_page
from aimgan.paper.cells import Cell, Outcome
from aimgan.paper.methods import IMAGE_METHODS, Method
from aimgan.paper.parallel import run_all
from aimgan.paper.request import Request, Results, write_results
from aimgan.paper.statistics import by_image
from aimgan.paper.table2 import cell_of, trained_as
from aimgan.recipes.images import TABLE_1
from aimgan.recipes.recipe import to_dict
from aimgan.runs.finish import save
from aimgan.runs.loading import network_for
from aimgan.sharing.hub import load
from aimgan.training.run_dir import RunDir

NAME = "table1"
INVERTED = ("gan", "aim")  # whose generators are asked for codes by optimisation too


def table1(request: Request, console: Console) -> tuple[list[Path], list[Outcome]]:
    """Run the cells that have no result, write what there is then, and return the files and all outcomes."""
    todo = [request.cell(method, seed) for method in request.methods for seed in request.seeds]
    outcomes = run_all(todo, request.folder, request.workers, console, request.retry)
    if not any(outcome.state == "finished" for outcome in outcomes):
        return [], outcomes
    results = collected(request, todo, outcomes, console)
    console.print(table1_page.short(results).rich())
    return write(results, request.output), outcomes


def collected(request: Request, todo: Sequence[Cell], outcomes: Sequence[Outcome], console: Console) -> dict[str, Any]:
    """Return the results file: where it comes from, the methods, every cell, and the references."""
    keys = [(method, seed) for method in request.methods for seed in request.seeds]
    methods = [_method(request, method) for method in request.methods]
    cells = [cell_of(request, *key, result) for key, result in zip(keys, outcomes, strict=True)]
    for cell, made in zip(cells, todo, strict=True):
        cell["epochs"] = epochs_of(request.folder / made.name)
    found = references_of(request, todo, console)
    results = {**request.head(), "methods": methods, "cells": cells, "references": found}
    results["paired"] = paired(results, request.folder)
    return results | {"claims": claims.tested(results)}


def paired(results: Results, folder: Path) -> list[dict[str, Any]]:
    """Return how far the models' errors are apart on the same test images, for the methods that claims compare.

    Each seed that both methods have is compared on its own, and so is each image's mean error over these seeds.
    """
    comparisons = [(one, other) for one, other in claims.compared(results) if one.score == claims.ERROR]
    pairs = dict.fromkeys((one.ours, other) for one, other in comparisons)
    errors = {(cell["method"], cell["seed"]): _errors_of(folder / cell["folder"]) for cell in _finished(results)}
    found = [_pair(ours, other, errors, results["seeds"]) for ours, other in pairs]
    return [pair for pair in found if pair]


def _finished(results: Results) -> list[dict[str, Any]]:
    return [cell for cell in results["cells"] if cell["state"] == "finished"]


def _errors_of(run: Path) -> np.ndarray | None:
    """Return the error of each test image that a run kept; None where there is no such file, or not a whole one."""
    try:
        found = np.load(RunDir(run).errors, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 1 and len(found) > 1 and np.isfinite(found).all() else None


def _pair(
    ours: str, other: str, errors: Mapping[tuple[str, int], np.ndarray | None], seeds: Sequence[int]
) -> dict[str, Any] | None:
    both = {seed: (errors.get((ours, seed)), errors.get((other, seed))) for seed in seeds}
    same = {seed: (a, b) for seed, (a, b) in both.items() if a is not None and b is not None and len(a) == len(b)}
    if not same:
        return None
    by_seed = [{"seed": seed, "images": len(a), **by_image(a, b)} for seed, (a, b) in same.items()]
    if len({seed["images"] for seed in by_seed}) > 1:
        return None
    # Each image's errors are averaged over the seeds first: the interval is that of the mean over seeds.
    mean_a, mean_b = (np.mean([pair[k] for pair in same.values()], axis=0) for k in (0, 1))
    about = {"score": claims.ERROR, "ours": ours, "other": other, "images": len(mean_a)}
    correlations = [seed["correlation"] for seed in by_seed if seed["correlation"] is not None]
    alike = fmean(correlations) if correlations else None  # of two models; that of means over seeds is higher
    return {**about, **by_image(mean_a, mean_b), "correlation": alike, "by_seed": by_seed}


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write the results file and what is rendered from it."""
    paths = write_results(results, folder / f"{NAME}.json", table1_page.render(results))
    points = trade_off(results)
    figure = error_against_distance(points, table1_page.caption(results)) if points else None
    figures = [] if figure is None else [save(figure, folder / f"{NAME}.{kind}") for kind in ("png", "pdf")]
    return [*paths, *figures]


def trade_off(results: dict[str, Any]) -> list[TradeOff]:
    """Return the test error against the Frechet distance of all cells that have both."""
    labels = {method["method"]: method["label"] for method in results["methods"]}
    return [
        TradeOff(labels[cell["method"]], cell["scores"]["reconstruction_mse"], cell["scores"]["frechet_distance"])
        for cell in results["cells"]
        if cell["scores"] and {"reconstruction_mse", "frechet_distance"} <= set(cell["scores"])
    ]


def epochs_of(run: Path) -> list[dict[str, Any]]:
    """Return what was evaluated on the way of a run: its rows of metrics.jsonl that have an epoch."""
    folder = RunDir(run)
    return [row for row in folder.rows() if "epoch" in row] if folder.metrics.exists() else []


def references_of(request: Request, todo: Sequence[Cell], console: Console) -> dict[str, Any]:
    """Return the references, each computed once: principal components, and codes by optimisation of the first seed."""
    recipe, data = todo[0].ready
    dim, network = recipe.networks.dim, network_for(recipe, data, "cpu", console)
    about = [dim, to_dict(recipe)["data"], None if network is None else network.checksum]
    name = f"pca-{dim}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]}.json"
    found = {"pca": kept(request.folder / name, partial(references.pca, data, dim, network))}
    for method in [method for method in request.methods if method.key in INVERTED]:
        folder = request.folder / request.cell(method, request.seeds[0]).name
        if RunDir(folder).evaluation.exists():
            screen.say(console, f"optimising codes for {references.INVERTED} test images under {folder.name}")
            found[f"inversion-{method.key}"] = kept(folder / "inversion.json", partial(_inverted, folder, data))
    return found


def _inverted(folder: Path, data: Any) -> dict[str, Any]:
    return references.inversion(load(folder), data)


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file holds, or make it and keep it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        made = make()
        write_json(path, made)
        return made


def _method(request: Request, method: Method) -> dict[str, Any]:
    cell = request.cell(method, request.seeds[0])
    published = {score: pairs[cell.recipe] for score, pairs in TABLE_1.items() if cell.recipe in pairs}
    return {
        "method": method.key,
        "label": method.label,
        "paper": published if method.key in IMAGE_METHODS else {},  # a row that changes something is not the paper's
        **trained_as(request, method),
        "networks": cell.recorded_settings["recipe"]["networks"],
    }
