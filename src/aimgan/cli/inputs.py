"""Images and codes that are named on the command line, as a batch for a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.checked import require_memory
from aimgan.data import Skipped
from aimgan.data.arrays import read_arrays
from aimgan.data.decode import EIGHT_BITS, Scale, UndecodableError, decode, quiet
from aimgan.data.decoding import Form, Progress
from aimgan.data.image_set import as_float
from aimgan.data.images import Reader
from aimgan.data.names import is_image
from aimgan.errors import AimganError


@dataclass(frozen=True)
class Input:
    """A batch, a name for each of its rows, and what of a folder could not be read."""

    x: Float[Tensor, "n ..."]
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()


def read(
    inputs: Sequence[str], shape: tuple[int, ...], progress: Progress | None = None, scale: Scale | None = None
) -> Input:
    """Read image files, folders and arrays as images of a model's shape (or points), in the order they are named.

    `scale` is what black and white are in images of floats, as the model was trained on them. Raises AimganError for
    a file that cannot be read; files of a folder are skipped, and listed.
    """
    parts = [
        _points(Path(name), shape) if len(shape) == 1 else _images(name, shape, progress, scale) for name in inputs
    ]
    return Input(
        torch.cat([part.x for part in parts]),
        tuple(name for part in parts for name in part.names),
        tuple(item for part in parts for item in part.skipped),
    )


def _images(name: str, shape: tuple[int, ...], progress: Progress | None, scale: Scale | None) -> Input:
    c, side, _ = shape
    path = Path(name)
    if is_image(name) and not path.is_dir():
        with quiet():
            try:
                pixels = decode(lambda: path, side, c, scale or EIGHT_BITS)
            except UndecodableError as reason:
                raise AimganError(f"{path} is no image that can be read ({reason})") from None
        return Input(as_float(torch.tensor(pixels)[None]), (name,))
    data = Reader(name, Form(side, c, scale), test_fraction=0.0, packed=False, progress=progress).read()
    both = torch.cat((data.train.pixels, data.test.pixels))
    return Input(as_float(both), (*data.train.names, *data.test.names), data.skipped)


def _points(path: Path, shape: tuple[int, ...]) -> Input:
    arrays = read_arrays(path)
    array = next((arrays[name] for name in ("points", "images") if name in arrays), None)  # a .npy is read as `images`
    if array is None or array.dtype.kind not in "fiu":
        raise AimganError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; expected numbers: .npy, or `points` in .npz"
        )
    require_memory(4 * array.size, f"the points of {str(path)!r}", "take fewer")
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused below
        points = torch.from_numpy(np.array(array, np.float32))
    if tuple(points.shape[1:]) != shape or not len(points) or not bool(points.isfinite().all()):
        raise AimganError(f"{path} holds {tuple(points.shape)}; expected finite points (n, {shape[0]}), n above zero")
    return Input(points, tuple(f"{path}:{k}" for k in range(len(points))))
