"""Figures 2 and 4 to 10 from Table 1's own runs: what is not trained yet is trained first. PNG, and PDF for print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor

from aimgan import console as screen
from aimgan import noise
from aimgan.errors import AimganError
from aimgan.evaluation.image_scores import codes
from aimgan.figures import (
    Curve,
    ImageRow,
    code_grid,
    conditional,
    error_by_epoch,
    figure4,
    reconstructions,
    reconstructions_by_weight,
    samples,
)
from aimgan.model import LatentVariableModel
from aimgan.objectives import OBJECTIVES
from aimgan.paper.cells import Cell, Outcome
from aimgan.paper.methods import Method
from aimgan.paper.parallel import run_all
from aimgan.paper.request import Request
from aimgan.paper.table1 import epochs_of
from aimgan.runs.finish import save
from aimgan.sharing.hub import load

LIMIT, SIDE = 2.0, 20  # of figure 4's manifold: from -2 to 2 along each dimension
SHOWN, NEAR, MADE = 16, 8, 32  # images of a block of figures 2 and 6, draws of figures 5 and 9, samples of figure 10


@dataclass(frozen=True)
class Drawn:
    """A method whose run is there."""

    method: Method
    cell: Cell
    folder: Path

    @cached_property
    def model(self) -> LatentVariableModel:
        """Its model."""
        return load(self.folder)


def draw_figure(request: Request, console: Console) -> tuple[list[Path], list[Outcome]]:
    """Run the cells that have no result, draw those that have a model, and return the files and all outcomes."""
    seed = request.seeds[0]
    todo = [_cell(request, method, seed) for method in request.methods]
    _check(request, todo[0].ready[1])
    outcomes = run_all(todo, request.folder, request.workers, console, request.retry)
    drawn: list[Drawn] = []
    for method, cell, outcome in zip(request.methods, todo, outcomes, strict=True):
        if outcome.state == "finished":
            drawn.append(Drawn(method, cell, request.folder / cell.name))
        else:
            screen.say(console, f"{method.label} is left out: {outcome.state}", "warning:")
    if not drawn:
        return [], outcomes
    _, data = todo[0].ready
    try:
        figure = DRAW[request.target](drawn, data, _caption(request, drawn))
    except ValueError as mistake:  # what figures say of what they cannot draw
        raise AimganError(f"{request.target}: {mistake}") from None
    return [save(figure, request.output / f"{request.target}.{kind}") for kind in ("png", "pdf")], outcomes


def _check(request: Request, data: Any) -> None:
    """Refuse, before anything is trained, what could not be drawn. Raises AimganError."""
    silent = [m.label for m in request.methods if getattr(OBJECTIVES[m.objective or ""], "posterior", None) is None]
    if request.target not in ("figure2", "figure6", "figure10") and len(silent) == len(request.methods):
        raise AimganError(f"{request.target} needs an encoder, which {silent[0]} has not: choose other --methods")
    labels = data.images.test.labels
    if request.target == "figure4" and (labels is None or not 0 <= int(labels.min()) <= int(labels.max()) <= 9):
        raise AimganError("figure4 colours codes by class, 0 to 9, which these images have not: choose --data mnist")


def _cell(request: Request, method: Method, seed: int) -> Cell:
    """Return a figure's cell: the table's, but with codes of two dimensions for figure 4."""
    cell = request.cell(method, seed)
    two = {**cell.settings, "networks.dim": 2}
    return replace(cell, settings=two) if request.target == "figure4" else cell


def _caption(request: Request, drawn: Sequence[Drawn]) -> str:
    lengths = ", ".join(f"{one.method.label} {one.cell.length:,} steps" for one in drawn)
    preset = f", {request.preset} preset" if request.preset else ""
    return f"{request.data}{preset}, seed {request.seeds[0]}: {lengths} ({request.command})"


def figure_2(drawn: Sequence[Drawn], data: Any, caption: str) -> Figure:
    """Test images and their reconstructions, a block a method (figures 2 and 6)."""
    x = data.test(SHOWN).cpu()
    rows = [
        ImageRow(one.method.label, x, None if one.model.E is None else one.model.reconstruct(x).cpu()) for one in drawn
    ]
    return reconstructions(rows, caption)


def figure_4(drawn: Sequence[Drawn], data: Any, caption: str) -> Figure:
    """Codes of the test set by class, and the manifold."""
    labels = data.images.test.labels[data.places("test")]
    model = next(one.model for one in drawn if one.model.E is not None)
    images = model.decode(code_grid(SIDE, LIMIT)).cpu()
    return figure4(codes(model, data.chunks()), labels, images, LIMIT, caption)


def figure_5(drawn: Sequence[Drawn], data: Any, caption: str) -> Figure:
    """Test images, and images drawn from their posteriors (figures 5 and 9)."""
    x, model = data.test(SHOWN // 2).cpu(), next(one.model for one in drawn if one.model.E is not None)
    near = model.neighbours(x, NEAR, noise.generator(drawn[0].cell.seed, "figure 5"))
    return conditional(x, near.cpu(), caption)


def figure_7(drawn: Sequence[Drawn], data: Any, caption: str) -> Figure:
    """Test images and their reconstructions by ALICE over lambda, AIM's beside."""
    x = data.test(SHOWN // 2).cpu()
    drawn = sorted(drawn, key=lambda one: one.method.objective != "alice")
    columns: list[tuple[str, Tensor]] = [
        (one.method.label, one.model.reconstruct(x).cpu()) for one in drawn if one.model.E is not None
    ]
    apart = sum(one.method.objective != "alice" for one in drawn)  # the last ones
    return reconstructions_by_weight(x, columns, caption, apart if apart < len(columns) else 0)


def figure_8(drawn: Sequence[Drawn], data: Any, caption: str) -> Figure:
    """Test error by epoch. Raises AimganError for runs that were never evaluated on the way."""
    curves = []
    for one in drawn:
        rows = [row for row in epochs_of(one.folder) if "reconstruction_mse" in row]
        if rows:
            epochs, errors = ([row[name] for row in rows] for name in ("epoch", "reconstruction_mse"))
            curves.append(Curve(one.method.label, epochs, errors))
    if not curves:
        raise AimganError("no run has errors by epoch: figure8 needs --methods with an encoder")
    return error_by_epoch(curves, caption)


def figure_10(drawn: Sequence[Drawn], data: Any, caption: str) -> Figure:
    """Samples from the prior, a block a method; the same codes for all that have as many dimensions."""
    made = [
        (one.method.label, one.model.generate(MADE, noise.generator(one.cell.seed, "figure 10")).cpu()) for one in drawn
    ]
    return samples(made, caption)


DRAW: dict[str, Callable[[Sequence[Drawn], Any, str], Figure]] = {
    "figure2": figure_2,
    "figure4": figure_4,
    "figure5": figure_5,
    "figure6": figure_2,
    "figure7": figure_7,
    "figure8": figure_8,
    "figure9": figure_5,
    "figure10": figure_10,
}
