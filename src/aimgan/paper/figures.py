"""Figures 2 to 10, drawn from the models of the tables' own runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

from aimgan import console as screen
from aimgan import noise
from aimgan.errors import AimganError
from aimgan.evaluation.image_scores import codes
from aimgan.figures import (
    Curve,
    Figure3Row,
    ImageRow,
    code_grid,
    conditional,
    error_by_epoch,
    figure3_rows,
    figure4,
    reconstructions,
    reconstructions_by_weight,
    samples,
    save,
)
from aimgan.model import LatentVariableModel
from aimgan.objectives import OBJECTIVES
from aimgan.paper.experiment import Experiment
from aimgan.paper.methods import Method
from aimgan.paper.table1 import epochs_of
from aimgan.paper.training_run import Outcome, TrainingRun
from aimgan.runs.finish import data_points, points_of
from aimgan.sharing.hub import load

LIMIT, SIDE = 2.0, 20  # the manifold of figure 4: from -2 to 2 along each dimension, 20 images a side
SHOWN, NEAR, MADE = 16, 8, 32  # test images of figures 2 and 6, draws of figures 5 and 9, samples of figure 10


@dataclass(frozen=True)
class Finished:
    """A method with its finished run."""

    method: Method
    run: TrainingRun
    folder: Path

    @cached_property
    def model(self) -> LatentVariableModel:
        """The run's model."""
        return load(self.folder)


def draw(experiment: Experiment, outcomes: Sequence[Outcome], console: Console) -> list[Path]:
    """Draw the figure of the runs that finished, and return its files. The others are left out, with a warning."""
    trained = []
    for run, method, outcome in zip(experiment.runs, experiment.methods, outcomes, strict=True):
        if outcome.state == "finished":
            trained.append(Finished(method, run, experiment.folder / run.name))
        else:
            screen.say(console, f"{method.label} is left out: {outcome.state}", "warning:")
    if not trained:
        return []
    _, data = trained[0].run.ready
    lengths = [f"{one.method.label} {one.run.length:,} steps" for one in trained]
    about = [experiment.data, f"seed {experiment.seeds[0]}"]
    if experiment.preset:
        about.insert(1, f"{experiment.preset} preset")
    caption = f"{', '.join(about)}: {', '.join(lengths)} ({experiment.command})"
    try:
        figure = FIGURES[experiment.target](trained, data, caption)
    except ValueError as mistake:  # the drawing functions raise it for what they cannot draw
        raise AimganError(f"{experiment.target}: {mistake}") from None
    kinds = ("png",) if experiment.target == "figure3" else ("png", "pdf")
    return [save(figure, experiment.output / f"{experiment.target}.{kind}") for kind in kinds]


def check(experiment: Experiment) -> None:
    """Raise AimganError, before anything is trained, for a figure that could not be drawn."""
    target, methods = experiment.target, experiment.methods
    posteriors = [getattr(OBJECTIVES[method.objective or ""], "posterior", None) for method in methods]
    if target not in ("figure2", "figure3", "figure6", "figure10") and not any(posteriors):
        raise AimganError(f"{target} needs an encoder, which {methods[0].label} does not have: choose other --methods")
    if target == "figure4":
        labels = experiment.runs[0].ready[1].images.test.labels
        if labels is None or not 0 <= int(labels.min()) <= int(labels.max()) <= 9:
            raise AimganError(
                "figure4 colours codes by class, 0 to 9, which these images do not have: choose --data mnist"
            )


def _reconstructions(trained: Sequence[Finished], data: Any, caption: str) -> Figure:
    """Draw test images and their reconstructions, a block for each method (figures 2 and 6)."""
    x = data.test(SHOWN).cpu()
    rows = []
    for one in trained:
        reconstructed = None if one.model.E is None else one.model.reconstruct(x).cpu()
        rows.append(ImageRow(one.method.label, x, reconstructed))
    return reconstructions(rows, caption)


def _points(trained: Sequence[Finished], data: Any, caption: str) -> Figure:
    """Draw data, codes, reconstructions and samples of the plane, a row for each method (figure 3)."""
    seed = trained[0].run.seed
    rows = [Figure3Row(one.method.label, *points_of(one.model, data, seed)) for one in trained]
    return figure3_rows(data_points(data, seed), rows)


def _with_encoder(trained: Sequence[Finished]) -> list[Finished]:
    return [one for one in trained if one.model.E is not None]


def _codes_by_class(trained: Sequence[Finished], data: Any, caption: str) -> Figure:
    """Draw the codes of the test set by class, and the manifold (figure 4)."""
    labels = data.images.test.labels[data.places("test")]
    model = _with_encoder(trained)[0].model
    images = model.decode(code_grid(SIDE, LIMIT)).cpu()
    return figure4(codes(model, data.chunks()), labels, images, LIMIT, caption)


def _neighbours(trained: Sequence[Finished], data: Any, caption: str) -> Figure:
    """Draw test images, and images generated from draws of their posteriors (figures 5 and 9)."""
    x = data.test(SHOWN // 2).cpu()
    model = _with_encoder(trained)[0].model
    near = model.neighbours(x, NEAR, noise.generator(trained[0].run.seed, "figure 5"))
    return conditional(x, near.cpu(), caption)


def _by_weight(trained: Sequence[Finished], data: Any, caption: str) -> Figure:
    """Draw test images and their reconstructions by ALICE for each lambda, then by other methods (figure 7)."""
    x = data.test(SHOWN // 2).cpu()
    alice = [one for one in _with_encoder(trained) if one.method.objective == "alice"]
    others = [one for one in _with_encoder(trained) if one.method.objective != "alice"]
    columns = [(one.method.label, one.model.reconstruct(x).cpu()) for one in alice + others]
    return reconstructions_by_weight(x, columns, caption, len(others) if alice else 0)


def _errors_by_epoch(trained: Sequence[Finished], data: Any, caption: str) -> Figure:
    """Draw the test error by epoch (figure 8). Raises AimganError if no run was evaluated during training."""
    curves = []
    for one in trained:
        rows = [row for row in epochs_of(one.folder) if "reconstruction_mse" in row]
        if rows:
            epochs = [row["epoch"] for row in rows]
            curves.append(Curve(one.method.label, epochs, [row["reconstruction_mse"] for row in rows]))
    if not curves:
        raise AimganError("no run has errors by epoch: figure8 needs --methods with an encoder")
    return error_by_epoch(curves, caption)


def _samples(trained: Sequence[Finished], data: Any, caption: str) -> Figure:
    """Draw samples, a block for each method (figure 10); the codes are the same for all methods of one dimension."""
    made = []
    for one in trained:
        images = one.model.generate(MADE, noise.generator(one.run.seed, "figure 10"))
        made.append((one.method.label, images.cpu()))
    return samples(made, caption)


FIGURES: dict[str, Callable[[Sequence[Finished], Any, str], Any]] = {
    "figure2": _reconstructions,
    "figure3": _points,
    "figure4": _codes_by_class,
    "figure5": _neighbours,
    "figure6": _reconstructions,
    "figure7": _by_weight,
    "figure8": _errors_by_epoch,
    "figure9": _neighbours,
    "figure10": _samples,
}
