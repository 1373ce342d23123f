"""The subject of an explorer page: a model with its name, its map, the drawing of its samples, and images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.explorer.drawing import Canvas, canvas_for
from aimgan.explorer.folder import picks, spread
from aimgan.explorer.latent_map import CODES, LatentMap, latent_map, own_codes
from aimgan.model import LatentVariableModel
from aimgan.search import Index


@dataclass(frozen=True)
class Subject:
    """One model of a page. `source` says which codes are shown on the map, `verdict` whether the model is of use."""

    name: str
    model: LatentVariableModel
    canvas: Canvas
    map: LatentMap
    source: str
    index: Index | None
    picks: Float[Tensor, "n ..."]  # samples to choose from
    verdict: str = ""

    @property
    def encodes(self) -> bool:
        """Whether the model can infer."""
        return self.model.E is not None

    @property
    def kind(self) -> str:
        """What one sample is called: "image" or "point"."""
        return self.canvas.kind

    def mean(self, x: Float[Tensor, "..."]) -> Float[Tensor, " d"]:
        """Return the code of one sample: the mean of q(z|x)."""
        return self.model.encode(x[None]).mean[0].cpu()

    def heading(self, level: int) -> str:
        """Return a heading with the model's name, the verdict on it, and a line that describes it, in Markdown."""
        samples = "2-D points"
        if self.kind == "image":
            channels, height, width = self.model.shape
            samples = f"{height} × {width} {'grey' if channels == 1 else 'colour'} images"
        config = self.model.config
        recipe = config.about.get("recipe", config.objective)
        line = _escaped(f"{recipe} · {samples} · codes of {self.model.dim} dimensions")
        parts = [f"{'#' * level} {_escaped(self.name)}", line]
        if self.verdict:
            parts.insert(1, f"**{_escaped(self.verdict)}**")
        return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """Escape HTML and Markdown: a path or the config of a model may come from a stranger."""
    return re.sub(r"([\\`*_{}\[\]()#+.!|~-])", r"\\\1", escape(text))


def subject(model: LatentVariableModel, name: str, index: Index | None = None, verdict: str = "") -> Subject:
    """Prepare a model for its page. The map is laid through codes of the folder, or of the model's own samples."""
    canvas = canvas_for(model)
    if index is not None:
        codes = torch.from_numpy(np.array(index.codes[spread(index, CODES)]))
        source = f"{len(codes):,} images of the folder"
    else:
        codes = own_codes(model)
        what = "draws of the prior" if model.E is None else "of the model's own samples, encoded"
        source = f"{len(codes):,} {what}"
    return Subject(name, model, canvas, latent_map(codes), source, index, picks(model, index), verdict)


def require_alike(a: Subject, b: Subject) -> None:
    """Raise AimganError for two models of different data."""
    if a.model.shape != b.model.shape:
        raise AimganError(
            f"samples of {a.name} have shape {a.model.shape}, those of {b.name} {b.model.shape}; expected two models "
            "of the same data"
        )
