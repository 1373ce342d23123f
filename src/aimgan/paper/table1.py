"""Table 1: methods x seeds on real images, with references and the paper's claims."""

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
from aimgan.checked import read_json, regular
from aimgan.evaluation import references
from aimgan.figures import TradeOff, error_against_distance, save
from aimgan.files import write_json
from aimgan.paper import claims, table1_page
from aimgan.paper.experiment import Experiment, Results
from aimgan.paper.methods import IMAGE_METHODS, Method
from aimgan.paper.statistics import by_image
from aimgan.paper.training_run import Outcome
from aimgan.recipes.images import TABLE_1
from aimgan.recipes.recipe import to_dict
from aimgan.runs.loading import network_for
from aimgan.sharing.hub import load
from aimgan.training.run_dir import RunDir

INVERTED = ("gan", "aim")  # methods whose codes are found by optimisation too


def table1(experiment: Experiment, outcomes: Sequence[Outcome], console: Console) -> list[Path]:
    """Print the table, write the results file, its pages and a figure, and return the files; none without scores."""
    if not any(outcome.state == "finished" for outcome in outcomes):
        return []
    results = collected(experiment, outcomes, console)
    console.print(table1_page.short(results, experiment.columns).text().rich())
    return write(results, experiment)


def collected(experiment: Experiment, outcomes: Sequence[Outcome], console: Console) -> dict[str, Any]:
    """Return the results file: command and machine, the methods, every run, the references, and the claims."""
    records = experiment.records(outcomes)
    for record in records:
        record["epochs"] = epochs_of(experiment.folder / record["folder"])
    results = {
        **experiment.head(),
        "methods": [_about(experiment, method) for method in experiment.methods],
        "cells": records,
        "references": _references(experiment, console),
    }
    results["paired"] = paired(results, experiment.folder)
    return results | {"claims": claims.tested(results)}


def _about(experiment: Experiment, method: Method) -> dict[str, Any]:
    run = experiment.run(method, experiment.seeds[0])
    published = {}
    for score, numbers in TABLE_1.items():
        if run.recipe in numbers and method.key in IMAGE_METHODS:  # with other settings a method is not the paper's
            published[score] = numbers[run.recipe]
    return {
        "method": method.key,
        "label": method.label,
        "paper": published,
        **experiment.trained_as(method),
        "networks": run.recorded_settings["recipe"]["networks"],
    }


def epochs_of(run: Path) -> list[dict[str, Any]]:
    """Return what a run logged at the end of epochs."""
    folder = RunDir(run)
    if not folder.metrics.exists():
        return []
    return [row for row in folder.rows() if "epoch" in row]


def paired(results: Results, folder: Path) -> list[dict[str, Any]]:
    """Compare the errors of models on the same test images, for the methods that claims compare.

    Each seed that both methods have is compared, and so is every image's mean error over these seeds.
    """
    errors = {}
    for run in results["cells"]:
        if run["state"] == "finished":
            errors[run["method"], run["seed"]] = _errors_of(folder / run["folder"])
    pairs = {}
    for comparison, other in claims.compared(results):
        if comparison.score == claims.ERROR:
            pairs[comparison.ours, other] = _pair(comparison.ours, other, errors, results["seeds"])
    return [pair for pair in pairs.values() if pair]


def _errors_of(run: Path) -> np.ndarray | None:
    """Return the error of each test image that a run saved; None if there is no such file, or it is damaged."""
    try:
        errors = np.load(regular(RunDir(run).errors), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if errors.ndim != 1 or len(errors) < 2 or not np.isfinite(errors).all():
        return None
    return errors


def _pair(
    ours: str, other: str, errors: Mapping[tuple[str, int], np.ndarray | None], seeds: Sequence[int]
) -> dict[str, Any] | None:
    pairs = []
    by_seed = []
    for seed in seeds:
        a, b = errors.get((ours, seed)), errors.get((other, seed))
        if a is not None and b is not None and len(a) == len(b):
            pairs.append((a, b))
            by_seed.append({"seed": seed, "images": len(a), **by_image(a, b)})
    if len({one["images"] for one in by_seed}) != 1:  # none, or of different images
        return None
    # The errors of each image are averaged over the seeds first, so that the interval is that of the mean over seeds.
    mean_a, mean_b = np.mean(pairs, axis=0)
    pair = {"score": claims.ERROR, "ours": ours, "other": other, "images": len(mean_a), **by_image(mean_a, mean_b)}
    # The correlation is the mean of the seeds'; that of the means over seeds would be higher.
    correlations = [one["correlation"] for one in by_seed if one["correlation"] is not None]
    if correlations:
        pair["correlation"] = fmean(correlations)
    return {**pair, "by_seed": by_seed}


def _references(experiment: Experiment, console: Console) -> dict[str, Any]:
    """Return principal components, and codes found by optimisation for models of the first seed; each computed once."""
    seed = experiment.seeds[0]
    recipe, data = experiment.run(experiment.methods[0], seed).ready
    dim = recipe.networks.dim
    network = network_for(recipe, data, "cpu", console)
    about = json.dumps([dim, to_dict(recipe)["data"], getattr(network, "checksum", None)])
    digest = hashlib.sha256(about.encode()).hexdigest()[:12]  # other data or another network need other numbers
    path = experiment.folder / f"pca-{dim}-{digest}.json"
    found = {"pca": _kept(path, partial(references.pca, data, dim, network))}
    for method in experiment.methods:
        folder = experiment.folder / experiment.run(method, seed).name
        if method.key in INVERTED and RunDir(folder).evaluation.exists():
            screen.say(console, f"optimising codes for {references.INVERTED} test images under {folder.name}")
            make = partial(_inversion, folder, data)
            found[f"inversion-{method.key}"] = _kept(folder / "inversion.json", make)
    return found


def _inversion(folder: Path, data: Any) -> dict[str, Any]:
    return references.inversion(load(folder), data)


def _kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file holds, or make it and save it there."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        made = make()
        write_json(path, made)
        return made


def write(results: dict[str, Any], experiment: Experiment) -> list[Path]:
    """Write the results file, the pages made from it, and the figure of error against distance."""
    folder = experiment.output
    paths = table1_page.page(results, experiment.columns).write(folder / "table1.json")
    labels = {method["method"]: method["label"] for method in results["methods"]}
    points = []
    for run in results["cells"]:
        scores = run["scores"] or {}
        error, distance = scores.get("reconstruction_mse"), scores.get("frechet_distance")
        if error is not None and distance is not None:
            points.append(TradeOff(labels[run["method"]], error, distance))
    if points:
        figure = error_against_distance(points, table1_page.caption(results))
        paths += [save(figure, folder / f"table1.{kind}") for kind in ("png", "pdf")]
    return paths
