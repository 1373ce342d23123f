"""What a person names on the command line, as a batch for a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.data.decode import UndecodableError, decode, quiet
from aimgan.data.image_set import as_float
from aimgan.data.images import load_images
from aimgan.data.sources import SUFFIX
from aimgan.errors import AimganError


@dataclass(frozen=True)
class Input:
    """A batch, and a name for each of its rows."""

    x: Float[Tensor, "n ..."]
    names: tuple[str, ...]


def read(inputs: Sequence[str], shape: tuple[int, ...]) -> Input:
    """Read image files, folders and arrays as images of a model's shape (or points), in the order they are named.

    Raises AimganError for what cannot be read: nothing is skipped silently here.
    """
    parts = [_points(Path(name), shape) if len(shape) == 1 else _images(name, shape) for name in inputs]
    return Input(torch.cat([part.x for part in parts]), tuple(name for part in parts for name in part.names))


def _images(name: str, shape: tuple[int, ...]) -> Input:
    c, side, _ = shape
    path = Path(name)
    if SUFFIX.search(name) and not path.is_dir():
        with quiet():
            try:
                pixels = decode(lambda: path.open("rb"), side, c)
            except UndecodableError as reason:
                raise AimganError(f"{path} is no image that can be read ({reason})") from None
        return Input(as_float(torch.from_numpy(pixels)[None]), (name,))
    data = load_images(name, side, c, test_fraction=0.0)
    pixels = torch.cat((data.train.pixels, data.test.pixels))
    return Input(as_float(pixels), (*data.train.names, *data.test.names))


def _points(path: Path, shape: tuple[int, ...]) -> Input:
    try:
        loaded = np.load(path, allow_pickle=False)
        array = loaded if isinstance(loaded, np.ndarray) else loaded["points"]
        points = torch.from_numpy(np.asarray(array, dtype=np.float32))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as reason:
        raise AimganError(f"{path} holds no points ({reason}); expected .npy, or .npz with `points`") from None
    if tuple(points.shape[1:]) != shape or not len(points) or not bool(points.isfinite().all()):
        raise AimganError(f"{path} holds {tuple(points.shape)}; expected finite points (n, {shape[0]}), n above zero")
    return Input(points, tuple(f"{path}:{k}" for k in range(len(points))))
