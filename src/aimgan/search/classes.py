"""Do near images have the same class? By their codes, beside raw pixels and chance, where the source has labels."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from aimgan.data.decoding import Form
from aimgan.data.sources import find
from aimgan.model import LatentVariableModel
from aimgan.search.images import named
from aimgan.search.index import Index
from aimgan.search.nearest import exact

SAMPLE = 500  # images, which are compared with each other
NEAREST = 5


class ClassAgreement(NamedTuple):
    """The share of an image's nearest images that have its class, mean over images; `chance` is of random pairs."""

    codes: float
    pixels: float
    chance: float


def class_agreement(index: Index, model: LatentVariableModel) -> ClassAgreement | None:
    """Compare at most SAMPLE images of an index with each other; None without labels of two classes, or few images."""
    source = index.record.source
    with ExitStack() as stack:
        listing = find(source, stack)
        if listing.labels is None:
            return None
        label_of = dict(zip(listing.names, listing.labels.tolist(), strict=True))
    rows = np.linspace(0, len(index) - 1, min(SAMPLE, len(index))).astype(int)
    channels, side, _ = model.shape
    found = named(source, {index.names[row] for row in rows}, Form(side, channels, model.config.scale))
    rows = np.array([row for row in rows if index.names[row] in found], int)
    labels = np.array([label_of[index.names[row]] for row in rows], np.int64)
    if len(rows) <= NEAREST or len(np.unique(labels)) < 2:
        return None
    pixels = np.stack([found[index.names[row]].ravel() for row in rows]).astype(np.float32)
    same = labels[:, None] == labels
    chance = (same.sum() - len(rows)) / (len(rows) * (len(rows) - 1))
    return ClassAgreement(_agreement(index.codes[rows], labels), _agreement(pixels, labels), float(chance))


def _agreement(codes: Float32[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"]) -> float:
    _, near = exact(codes, np.asarray(codes), NEAREST + 1)
    same = (labels[near] == labels[:, None]).sum(axis=1) - 1  # each image is nearest to itself
    return float(same.mean() / NEAREST)
