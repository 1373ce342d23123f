"""The verbs on a trained model: generate, reconstruct, neighbours, interpolate, encode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from aimgan import noise
from aimgan.checked import require_memory
from aimgan.cli.command import Command
from aimgan.cli.output import write, write_arrays
from aimgan.errors import AimganError

if TYPE_CHECKING:
    from aimgan.model import LatentVariableModel


def generate(command: Command, output: Path, n: int, seed: int) -> Path:
    """Write n samples from the prior."""
    model = command.model()
    x = model.generate(n, noise.generator(seed, "generate", device=model.device))
    columns = max(1, min(16, round(n**0.5)))
    return write(output, {_kind(model): x}, x, columns)


def reconstruct(command: Command, output: Path, inputs: Sequence[str], optimise: int | None = None) -> Path:
    """Write inputs beside their reconstructions: from the encoder's codes, or from codes that are optimised."""
    model = command.model()
    x = command.read(model, inputs).x
    if optimise is None:
        x_z_x = model.reconstruct(x)
    else:
        from aimgan.evaluation.inversion import invert  # here: it needs the engine

        x_z_x = model.decode(invert(model, x, optimise), inferred=True)
    picture = x_z_x
    if len(model.shape) == 3:
        picture = torch.stack((x, x_z_x.cpu()), dim=1).flatten(0, 1)
    return write(output, {_kind(model): x, "reconstructions": x_z_x}, picture, columns=2 * min(len(x), 4))


def neighbours(command: Command, output: Path, image: str, m: int, seed: int) -> Path:
    """Write m draws of G(z), z ~ q(z|x), for each input; each row of a picture begins with the input."""
    model = command.model()
    x = command.read(model, [image]).x
    near = model.neighbours(x, m, noise.generator(seed, "neighbours", device=model.device)).cpu()
    rows = torch.cat((x[:, None], near), dim=1).flatten(0, 1)
    return write(output, {_kind(model): x, "neighbours": near}, rows, columns=m + 1)


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
