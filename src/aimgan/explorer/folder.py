"""The images that the explorer offers: of an indexed folder, with those that are near a code, or of the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from aimgan import noise
from aimgan.data.decoding import Form
from aimgan.data.image_set import as_float
from aimgan.errors import AimganError, plain
from aimgan.explorer.drawing import finite
from aimgan.model import LatentVariableModel
from aimgan.search import Index, build, open_index, query
from aimgan.search.images import named
from aimgan.search.index import INSIDE, RECORD, require_model

OFFERED = 12  # images to pick from
NEAREST = 8


class Pick(NamedTuple):
    """An image to pick: its name, and its pixels as the model takes them."""

    name: str
    x: Float[Tensor, "..."]


def indexed(model: LatentVariableModel, folder: str | Path) -> Index:
    """Open the index in a folder, or that of a folder of images, which is built or brought up to date.

    Raises AimganError where neither is there, and for an index of another model.
    """
    folder = Path(folder)
    if folder.is_dir() and not (folder / RECORD).exists():
        return build(model, folder, folder / INSIDE)
    index = open_index(folder)
    require_model(index, model)
    return index


def picks(model: LatentVariableModel, index: Index | None) -> list[Pick]:
    """Return what can be picked: images all over the index, else samples of the model."""
    if index is None:
        x = finite(model.generate(OFFERED, noise.generator("explorer", "picks", device=model.device))).cpu()
        return [Pick(f"sample {k}", image) for k, image in enumerate(x, 1)]
    rows = np.linspace(0, len(index) - 1, min(OFFERED, len(index))).astype(int)
    found = _read(index.record.source, {index.names[row] for row in rows}, model.shape)
    if not found:
        raise AimganError(f"the images of the index are no longer in {index.record.source}: build it again")
    return found


def _read(source: str, names: set[str], shape: tuple[int, ...]) -> list[Pick]:
    """Read images of a source by name, at the model's size; those that are gone are left out."""
    channels, side, _ = shape
    found = named(source, names, Form(side, channels))
    return [Pick(name, as_float(torch.tensor(pixels)[None])[0]) for name, pixels in found.items()]


def nearest(index: Index, z: Float[Tensor, " d"]) -> list[tuple[Image.Image, str]]:
    """Return the images of the folder whose codes are nearest, with their distances and names."""
    hits = query(index, z, NEAREST)
    small = named(index.record.source, {hit.name for hit in hits})
    return [(_image(small[hit.name]), f"{hit.distance:.2f} · {plain(hit.name)}") for hit in hits if hit.name in small]


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
