"""What a page is of: a model with its name, how its samples are drawn, its map, and the images that can be picked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from aimgan.errors import AimganError
from aimgan.explorer.drawing import Canvas, Tiles, canvas_for
from aimgan.explorer.folder import Pick, picks
from aimgan.explorer.latent_map import CODES, LatentMap, latent_map, own_codes
from aimgan.model import LatentVariableModel
from aimgan.search import Index


@dataclass(frozen=True)
class Subject:
    """One model of a page. `source` says whose codes are on the map."""

    name: str
    model: LatentVariableModel
    canvas: Canvas
    map: LatentMap
    source: str
    index: Index | None
    picks: list[Pick]

    @property
    def encodes(self) -> bool:
        """Whether there is anything to infer with."""
        return self.model.E is not None

    @property
    def kind(self) -> str:
        """What one sample is called."""
        return "image" if isinstance(self.canvas, Tiles) else "point"

    def mean(self, x: Float[np.ndarray, "..."]) -> Float[np.ndarray, " d"]:
        """Return the code of one sample: the mean of q(z|x)."""
        return self.model.encode(torch.from_numpy(x)[None]).mean[0].cpu().numpy()


def subject(model: LatentVariableModel, name: str, index: Index | None = None) -> Subject:
    """Prepare a model: its canvas, a map of the folder's codes (of its own samples without one), images to pick."""
    canvas = canvas_for(model)
    if index is not None:
        rows = np.linspace(0, len(index) - 1, min(CODES, len(index))).astype(int)
        codes, source = torch.from_numpy(np.array(index.codes[rows])), f"{len(rows):,} images of the folder"
    else:
        codes = own_codes(model)
        what = "draws of the prior" if model.E is None else "of the model's own samples, encoded"
        source = f"{len(codes):,} {what}"
    return Subject(name, model, canvas, latent_map(codes), source, index, picks(model, index))


def require_alike(a: Subject, b: Subject) -> None:
    """Raise AimganError for two models of different data."""
    if a.model.shape != b.model.shape:
        raise AimganError(
            f"{a.name} is a model of {a.model.shape}, {b.name} of {b.model.shape}; expected two of the same data"
        )
