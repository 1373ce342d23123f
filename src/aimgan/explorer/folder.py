"""The images that the explorer offers: of a folder with an index of codes, or samples of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from rich.console import Console
from torch import Tensor

from aimgan import noise
from aimgan.data.decoding import Form
from aimgan.data.image_set import as_float
from aimgan.errors import AimganError, plain
from aimgan.explorer.drawing import finite
from aimgan.model import LatentVariableModel
from aimgan.search import Index, build, open_index, query
from aimgan.search.images import named, require_own
from aimgan.search.index import INSIDE, RECORD, require_model

OFFERED = 12  # images to choose from
NEAREST = 8


def indexed(model: LatentVariableModel, folder: str | Path) -> Index:
    """Open an index, or the index inside a folder of images, which is built or brought up to date.

    Raises AimganError where the folder is neither, and for an index of another model; and for a stranger's index,
    unless the user agrees in a terminal.
    """
    folder = Path(folder)
    if folder.is_dir() and not (folder / RECORD).exists():
        return build(model, folder, folder / INSIDE)
    index = open_index(folder)
    require_model(index, model)
    require_own(index, Console())
    return index


def spread(index: Index, n: int) -> list[int]:
    """Return at most n rows, evenly spaced over the index."""
    return np.linspace(0, len(index) - 1, min(n, len(index))).astype(int).tolist()


def picks(model: LatentVariableModel, index: Index | None) -> Float[Tensor, "n ..."]:
    """Return samples to choose from: evenly spaced over the index, or of the model itself where there is none."""
    if index is None:
        generator = noise.generator("explorer", "picks", device=model.device)
        return finite(model.generate(OFFERED, generator)).cpu()
    channels, side, _ = model.shape
    names = {index.names[row] for row in spread(index, OFFERED)}
    found = named(index.record.source, names, Form(side, channels))
    if not found:
        raise AimganError(f"the images of the index are no longer in {index.record.source}: build it again")
    return as_float(torch.tensor(np.stack(list(found.values()))))


def nearest(index: Index, z: Float[Tensor, " d"]) -> list[tuple[Image.Image, str]]:
    """Return the images of the folder whose codes are nearest to z, with their distances and names."""
    hits = query(index, z, NEAREST)
    thumbnails = named(index.record.source, {hit.name for hit in hits})
    found = []
    for hit in hits:
        if hit.name in thumbnails:
            pixels = thumbnails[hit.name]
            colours = pixels.repeat(3 // len(pixels), axis=0).transpose(1, 2, 0)
            found.append((Image.fromarray(np.ascontiguousarray(colours)), f"{hit.distance:.2f} · {plain(hit.name)}"))
    return found
