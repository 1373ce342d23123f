"""The command line's verbs on a trained model, one function each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from aimgan import console as screen
from aimgan import noise
from aimgan.cli.inputs import Input, read
from aimgan.data import DataSource, Images, Mixture
from aimgan.errors import AimganError
from aimgan.evaluation.evaluate import evaluate, evaluate_data
from aimgan.evaluation.inversion import invert
from aimgan.figures import grid, pairs, points_figure
from aimgan.files import write_json
from aimgan.model import LatentVariableModel
from aimgan.networks.batch_norm import batch_norms
from aimgan.objectives import OBJECTIVES
from aimgan.pages import tables
from aimgan.recipes.catalogue import RECIPES
from aimgan.recipes.recipe import Recipe, with_settings
from aimgan.recipes.resolving import recorded
from aimgan.runs.loading import loaded, own_features
from aimgan.runs.train import resolved_device
from aimgan.sharing.hub import load
from aimgan.training.run_dir import RunDir

MAX_SHOWN = 10_000  # images in one picture


OLD_STATISTICS = (
    "an earlier version saved this model, with batch-norm statistics of the prior's codes for every use of G; this "
    "version would score it otherwise: remove the run's evaluation.json and repeat its training command"
)


def normalised_otherwise(model: LatentVariableModel) -> bool:
    """Return whether a model has other batch-norm statistics than its objective's models have today."""
    own = model.config.G_sees
    today = getattr(OBJECTIVES.get(model.config.objective), "G_sees", own)
    return own != today and any(batch_norms(network) for network in (model.G, model.E) if network is not None)


def evaluate_run(
    run: Path,
    output: Path | None,
    data: str | None,
    seed: int | None,
    device: str,
    console: Console,
    features: str | None = None,
    samples: int | None = None,
) -> None:
    """Score a run's model, print the table, and write the scores as JSON where a file is named."""
    folder = RunDir(run)
    recipe, own_seed = recorded(folder)
    source = recipe.data if data is None else _other(recipe, data)
    batches = loaded(source, console)
    model = load(run, resolved_device(device))
    if batches.shape != model.shape:
        raise AimganError(f"the data are {batches.shape}, but {run} is a model of {model.shape}: choose other --data")
    seed = own_seed if seed is None else seed
    recipe = with_settings(
        recipe, {"features": features or recipe.features, "samples": recipe.samples if samples is None else samples}
    )
    if features is None and (recipe.features or "").endswith(".pt"):  # a stranger's run may name a stranger's code
        raise AimganError(f"{run} was scored by {recipe.features}, which is code: pass --features, if you trust it")
    network = own_features(recipe, batches, model.device, console)
    if normalised_otherwise(model):
        screen.say(console, OLD_STATISTICS, "warning:")
    scores = evaluate(model, batches, seed, network, recipe.samples)
    real = evaluate_data(batches, seed) if isinstance(batches, Mixture) else None
    console.print(tables.of_run(recipe, scores, real).rich())
    if output is not None:
        with _writing(output):
            write_json(output, scores)
        screen.say(console, f"wrote {output}")


def _other(recipe: Recipe, path: str) -> DataSource:
    """Return other data for a run: images of its model's shape."""
    return Images(path, *_size(recipe.networks.shape))


def generate(source: str, n: int, output: Path, seed: int, device: str) -> Path:
    """Write n samples from the prior."""
    model = load(source, resolved_device(device))
    x = model.generate(n, noise.generator(seed, "generate", device=model.device))
    return write(output, {_key(model): x}, x, columns=_columns(n))


def reconstruct(
    source: str, inputs: Sequence[str], output: Path, device: str, console: Console, optimise: int | None = None
) -> Path:
    """Write inputs beside their reconstructions: from the encoder's codes, or from codes that are optimised."""
    model = load(source, resolved_device(device))
    x = _read(model, inputs, console).x
    x_z_x = model.reconstruct(x) if optimise is None else model.decode(invert(model, x, optimise), inferred=True)
    both = pairs(x, x_z_x.cpu()) if len(model.shape) == 3 else x_z_x
    return write(output, {_key(model): x, "reconstructions": x_z_x}, both, columns=2 * min(len(x), 4))


def neighbours(source: str, image: str, m: int, output: Path, seed: int, device: str, console: Console) -> Path:
    """Write m draws of G(z), z ~ q(z|x), an input; a picture's rows begin with the input."""
    model = load(source, resolved_device(device))
    x = _read(model, [image], console).x
    near = model.neighbours(x, m, noise.generator(seed, "neighbours", device=model.device)).cpu()
    shown = torch.cat((x[:, None], near), dim=1).flatten(0, 1)
    return write(output, {_key(model): x, "neighbours": near}, shown, columns=m + 1)


def interpolate(source: str, a: str, b: str, steps: int, output: Path, device: str, console: Console) -> Path:
    """Write G along the line between the codes of a and b."""
    model = load(source, resolved_device(device))
    line = model.interpolate(_read(model, [a], console).x, _read(model, [b], console).x, steps)
    return write(output, {"interpolations": line}, line.flatten(0, 1), columns=steps)


def encode(source: str, data: str, output: Path, device: str, console: Console) -> Path:
    """Write mean and log variance of q(z|x), and the inputs' names."""
    if output.suffix.lower() != ".npz":
        raise AimganError(f"--output is {output}; codes are written as .npz")
    model = load(source, resolved_device(device))
    given = _read(model, [data], console)
    q = model.encode(given.x)
    return write_arrays(output, {"mean": q.mean, "log_variance": q.log_variance}, names=np.array(given.names))


def recipe_table() -> tables.Table:
    """List the recipes."""
    rows = tuple(
        (name, type(recipe.data).__name__, type(recipe.networks).__name__, recipe.objective, _length(recipe))
        for name, recipe in RECIPES.items()
    )
    return tables.Table("recipes", ("recipe", "data", "networks", "objective", "length"), rows)


def write(output: Path, arrays: dict[str, Tensor], picture: Tensor, columns: int) -> Path:
    """Write a .png of the picture (of the arrays, if they are points), or an .npz of the arrays.

    Raises AimganError for other endings.
    """
    if output.suffix.lower() == ".npz":
        return write_arrays(output, arrays)
    if output.suffix.lower() != ".png" or (picture.shape[1:] != (2,) and picture.ndim != 4):
        raise AimganError(f"--output is {output}; expected a name that ends in .png (2-D points or images) or .npz")
    if picture.ndim == 4 and len(picture) > MAX_SHOWN:
        raise AimganError(f"a picture of {len(picture):,} images; expected at most {MAX_SHOWN:,}: write .npz")
    if not bool(picture.isfinite().all()):
        raise AimganError("the model gives NaN or infinite values, which cannot be drawn: train it anew, or write .npz")
    with _writing(output):
        if picture.ndim == 4:
            grid(picture.cpu(), columns).save(output)
        else:
            points_figure({name: points.cpu().reshape(-1, 2) for name, points in arrays.items()}).savefig(output)
    return output


def write_arrays(output: Path, arrays: Mapping[str, Tensor], **more: Any) -> Path:
    """Write an .npz of tensors and arrays."""
    plain: dict[str, Any] = {name: values.detach().cpu().numpy() for name, values in arrays.items()}
    with _writing(output):
        np.savez(output, **plain, **more)
    return output


def _read(model: LatentVariableModel, inputs: Sequence[str], console: Console) -> Input:
    with screen.decoding(console) as progress:
        given = read(inputs, model.shape, progress, model.config.scale)
    screen.say_skipped(console, given.skipped, len(given.x))
    return given


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, ValueError) as reason:  # a null in the name
        line = getattr(reason, "strerror", None) or reason
        raise AimganError(f"cannot write {path} ({line}): choose another path") from None


def _key(model: LatentVariableModel) -> str:
    return "images" if len(model.shape) == 3 else "points"


def _columns(n: int) -> int:
    return max(1, min(16, round(n**0.5)))


def _size(shape: tuple[int, ...]) -> tuple[int | None, int | None]:
    return (shape[1], shape[0]) if len(shape) == 3 else (None, None)


def _length(recipe: object) -> str:
    steps, epochs = getattr(recipe, "steps", None), getattr(recipe, "epochs", None)
    return f"{steps:,} steps" if steps else f"{epochs:g} epochs"
