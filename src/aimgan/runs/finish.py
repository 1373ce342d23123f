"""The end of a run: the model, its scores, figures and report. All of it can be done again from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from aimgan import console as screen
from aimgan import noise
from aimgan.data import Data, Mixture, TwoDomains
from aimgan.errors import plain
from aimgan.evaluation.evaluate import evaluate, evaluate_data, image_errors
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.evaluation.verdict import judged
from aimgan.figures import curves, figure3, grid, pairs, points_figure, save
from aimgan.files import save_array, write_json
from aimgan.model import LatentVariableModel
from aimgan.pages import tables
from aimgan.pages.report import write_report
from aimgan.recipes.resolving import Plan
from aimgan.training.run_dir import RunDir
from aimgan.translation import translate

DATA_POINTS = 100_000  # of figure 3 (a)
OTHER_POINTS = 10_000  # "the number of points in (b, c, d) is 10 % of (a)"


def finish(
    model: LatentVariableModel,
    data: Data,
    run: RunDir,
    plan: Plan,
    console: Console,
    network: FeatureNetwork | None = None,
) -> dict[str, Any]:
    """Re-estimate batch norm, save the model, evaluate it, draw its figures, write the report. Return the scores."""
    recipe, seed = plan.recipe, plan.seed
    with screen.status(console, "evaluating"):
        model.reestimate_batch_norm(seed, data=lambda k: batch_of(data, seed, k))
        model.save(run.model)
        scores = evaluate(model, data, seed, network, recipe.samples)
        scores |= judged(model, data, scores, seed, recipe.name)._asdict()
        if "reconstruction_mse" in scores and len(data.shape) == 3:
            save_array(run.errors, image_errors(model, data).numpy())
    run.figures.mkdir(exist_ok=True)
    paths = draw(model, data, run, plan)
    real = evaluate_data(data, seed) if isinstance(data, Mixture) else None
    table = tables.of_run(recipe, scores, real)
    paths += write_report(run, recipe, seed, scores, model.E is not None, real)
    write_json(run.evaluation, {"steps": model.config.about["steps"], **scores})
    console.print(plain(scores["verdict"]), markup=False, highlight=False)
    console.print(table.rich())
    for path in [run.model, *paths]:
        screen.say(console, f"wrote {path}")  # brackets in a path are not markup
    return scores


def batch_of(data: Data, seed: int, k: int) -> torch.Tensor:
    """Return training batch k of 100 samples, or of all where there are fewer."""
    return data.batch(seed, k, min(100, data.epoch_size))


def draw(model: LatentVariableModel, data: Data, run: RunDir, plan: Plan) -> list[Path]:
    """Draw the run's figures into its folder and return their paths."""
    title = f"{plan.recipe.name}, seed {plan.seed}"
    made: dict[str, Figure | Image.Image] = {"curves": curves(run.rows(), title)}
    if isinstance(data, TwoDomains):
        made["translations"] = translations(model, data)
    elif data.shape == (2,):
        steps = model.config.about["steps"]
        panels = points_of(model, data, plan.seed)
        made["figure3"] = figure3(data_points(data, plan.seed), *panels, f"{title}, {steps:,} steps")
    made |= pictures(model, data, plan.seed)
    return [save(figure, run.figures / f"{name}.png") for name, figure in made.items()]


def pictures(model: LatentVariableModel, data: Data, seed: int) -> dict[str, Image.Image]:
    """Return samples, reconstructions and neighbours of a model of images; nothing for a model of points."""
    if len(data.shape) != 3:
        return {}
    x = data.test(32).cpu()
    made = {"samples": grid(model.generate(64, noise.generator(seed, "figure samples")), columns=8)}
    if model.E is not None and len(x):
        made["reconstructions"] = grid(pairs(x, model.reconstruct(x)), columns=8)
        near = model.neighbours(x[:8], 7, noise.generator(seed, "figure neighbours", device=model.device))
        made["neighbours"] = grid(torch.cat((x[:8, None], near.cpu()), dim=1).flatten(0, 1), columns=8)
    return made


def translations(model: LatentVariableModel, data: TwoDomains) -> Figure | Image.Image:
    """Return held-out samples of A and of B, each beside its translation: images, or points in four panels."""
    n = 32 if len(data.shape) == 3 else OTHER_POINTS
    x, y = data.first.test(n), data.second.test(n)
    y_x, x_y = translate(model, x).cpu(), translate(model, y, back=True).cpu()
    if len(data.shape) == 1:
        return points_figure({"A": x, "A to B": y_x, "B": y, "B to A": x_y})
    rows = [pairs(*(images.expand(-1, 3, -1, -1) for images in both)) for both in ((x, y_x), (y, x_y))]
    return grid(torch.cat(rows), columns=8)


def drawn(run: RunDir) -> dict[str, np.ndarray]:
    """Return the pictures in a run's folder, without its curves, each (h, w, 3) of uint8."""
    paths = sorted(path for path in run.figures.glob("*.png") if path.stem != "curves")
    return {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in paths}


def data_points(data: Data, seed: int) -> torch.Tensor:
    """Return panel (a) of figure 3, (100,000, 2), or all training points where there are fewer."""
    if not isinstance(data, Mixture):
        return data.batch(seed, 0, min(DATA_POINTS, data.epoch_size))
    return data.sample(DATA_POINTS, noise.generator(seed, "figure data"))


def points_of(
    model: LatentVariableModel, data: Data, seed: int
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor]:
    """Return panels (b) codes and (c) reconstructions of held-out data, and (d) samples.

    (b) and (c) are None without an encoder or held-out data.
    """
    samples = model.generate(OTHER_POINTS, noise.generator(seed, "figure samples")).cpu()
    x = data.test(OTHER_POINTS)
    if model.E is None or not len(x):
        return None, None, samples
    codes = model.encode(x).mean
    return codes.cpu(), model.decode(codes, inferred=True).cpu(), samples
