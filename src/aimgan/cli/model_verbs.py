"""The verbs on a trained model: generate, reconstruct, neighbours, interpolate, encode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from aimgan import console as screen
from aimgan import noise
from aimgan.checked import numbers, positive, require_memory
from aimgan.cli.command import Command
from aimgan.cli.output import write, write_arrays
from aimgan.errors import AimganError
from aimgan.sharing.folder import scores_of
from aimgan.translation import second_shape
from aimgan.translation import translate as translated

if TYPE_CHECKING:
    from aimgan.model import LatentVariableModel


def generate(command: Command, output: Path, n: int, seed: int) -> Path:
    """Write n samples from the prior."""
    model = command.model()
    x = model.generate(n, noise.generator(seed, "generate", device=model.device))
    columns = max(1, min(16, round(n**0.5)))
    return write(output, {_kind(model): x}, x, columns)


@dataclass(frozen=True)
class CodeSource:
    """How `reconstruct` finds codes, other than by the encoder's mean: draws of q(z|x), or steps of Adam."""

    draws: int | None = None
    optimise: int | None = None


def reconstruct(command: Command, output: Path, inputs: Sequence[str], codes: CodeSource) -> Path:
    """Write inputs beside their reconstructions, and say their error, beside those of trivial answers if known.

    Reconstructions are G(mu(x)), the mean of G(z) over draws of z from q(z|x), or G of codes that are optimised.
    """
    if codes.draws is not None and codes.optimise is not None:
        raise AimganError("got --draws and --optimise; expected one of them")
    model = command.model()
    x = command.read(model, inputs).x
    if codes.optimise is not None:
        from aimgan.evaluation.inversion import invert  # here: it needs the engine

        x_z_x = model.decode(invert(model, x, codes.optimise), inferred=True).cpu()
        errors = {"of optimised codes": _error(x, x_z_x)}
    else:
        x_z_x = model.reconstruct(x).cpu()
        errors = {"of the mean code": _error(x, x_z_x)}
        if codes.draws is not None:
            x_z_x = _mean_of_draws(model, x, codes.draws)
            errors[f"of the mean of {codes.draws} draws"] = _error(x, x_z_x)
    _say_errors(command, len(x), errors)
    picture = x_z_x
    if len(model.shape) == 3:
        picture = torch.stack((x, x_z_x), dim=1).flatten(0, 1)
    return write(output, {_kind(model): x, "reconstructions": x_z_x}, picture, columns=2 * min(len(x), 4))


def _error(x: Tensor, x_z_x: Tensor) -> float:
    return float((x - x_z_x).square().mean())


def _mean_of_draws(model: LatentVariableModel, x: Tensor, draws: int) -> Tensor:
    """Return the mean of G(z) over draws of z from q(z|x), (n, *shape), one draw in memory at a time."""
    generator = noise.generator(0, "draws", device=model.device)
    total = torch.zeros_like(x)
    for _ in range(positive("draws", draws)):
        total += model.neighbours(x, 1, generator)[:, 0].cpu()
    return total / draws


def _say_errors(command: Command, count: int, errors: Mapping[str, float]) -> None:
    """Print the errors of reconstructions, which is the lowest, and what the run's verdict compared its own with."""
    told = [f"{error:.4g} {what}" for what, error in errors.items()]
    line = f"reconstruction error of {count:,} inputs: {', '.join(told)}"
    if len(errors) > 1:
        line += f"; the lower is that {min(errors, key=errors.__getitem__)}"
    screen.say(command.console, line)
    scores = numbers(scores_of(command.run))
    names = {
        "mean_image_mse": "the mean image",
        "pca_mse": "principal components",
        "mode_centre_mse": "the mode's centre",
    }
    anchors = [f"{label} {scores[name]:.4g}" for name, label in names.items() if name in scores]
    if anchors:
        screen.say(command.console, f"on the run's own test data: {', '.join(anchors)}")


def neighbours(command: Command, output: Path, image: str, m: int, seed: int) -> Path:
    """Write m draws of G(z), z ~ q(z|x), for each input; each row of a picture begins with the input."""
    model = command.model()
    x = command.read(model, [image]).x
    near = model.neighbours(x, m, noise.generator(seed, "neighbours", device=model.device)).cpu()
    rows = torch.cat((x[:, None], near), dim=1).flatten(0, 1)
    return write(output, {_kind(model): x, "neighbours": near}, rows, columns=m + 1)


def translate(command: Command, output: Path, inputs: Sequence[str], back: bool) -> Path:
    """Write inputs beside their translations: from A to B, or back."""
    model = command.model()
    shape = second_shape(model)
    x = command.read(model, inputs, shape if back else model.shape).x
    made = translated(model, x, back).cpu()
    picture = made
    if made.ndim == 4:
        picture = torch.stack([images.expand(-1, 3, -1, -1) for images in (x, made)], dim=1).flatten(0, 1)
    return write(output, {_kind(model): x, "translations": made}, picture, columns=2 * min(len(x), 4))


def interpolate(command: Command, output: Path, a: str, b: str, steps: int) -> Path:
    """Write G along the line between the codes of a and b."""
    model = command.model()
    line = model.interpolate(command.read(model, [a]).x, command.read(model, [b]).x, steps)
    return write(output, {"interpolations": line}, line.flatten(0, 1), columns=steps)


def encode(command: Command, output: Path, data: str) -> Path:
    """Write mean and log variance of q(z|x), and the inputs' names."""
    if output.suffix.lower() != ".npz":
        raise AimganError(f"--output is {output}; codes are written as .npz")
    model = command.model()
    given = command.read(model, [data])
    q = model.encode(given.x)
    arrays = {"mean": q.mean, "log_variance": q.log_variance}
    longest = max(map(len, given.names))
    require_memory(4 * longest * len(given.names), f"names of up to {longest:,} characters", "shorten the longest")
    return write_arrays(output, arrays, names=np.array(given.names))


def _kind(model: LatentVariableModel) -> str:
    return "images" if len(model.shape) == 3 else "points"
