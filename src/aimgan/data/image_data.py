"""A data set of images, in memory or mapped from the disk: its two splits, and what is known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from aimgan.data.decode import Scale
from aimgan.data.names import Skipped

TOGETHER = 4_096  # images that are read together


@dataclass(frozen=True)
class Split:
    """Images of 0 to 255, their classes if the source has labels, and their names in the source."""

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"] | None
    names: Sequence[str]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.pixels)


@dataclass(frozen=True)
class ImageData:
    """A data set in two disjoint splits, where it came from, and what was left out of it and why.

    `by` says what named the splits (folder, file or hash), `classes` are the names of labels 0, 1, ... if they have
    names, `not_read` counts the files of other kinds by suffix, `notes` are sentences for the user. `packed` is the
    folder that the pixels are mapped from; None if they are in memory.
    """

    train: Split
    test: Split
    skipped: tuple[Skipped, ...]
    source: str
    by: str = "hash"
    classes: tuple[str, ...] = ()
    not_read: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    scale: Scale | None = None  # of floats and 32-bit integers, if there are any
    packed: Path | None = None
    known: Mapping[str, Any] | None = None  # `measured`, if it is known already

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image, (c, h, w)."""
        c, h, w = self.train.pixels.shape[1:]
        return c, h, w

    @cached_property
    def measured(self) -> Mapping[str, Any]:
        """The `range` of all pixels (lowest, highest), and a `fingerprint` of all pixels and labels."""
        if self.known is not None:
            return self.known
        return measured(self, [_parts(split.pixels) for split in (self.train, self.test)])


def measured(data: ImageData, pixels: Sequence[Iterable[np.ndarray]]) -> dict[str, Any]:
    """Measure a data set whose pixels are read some images at a time, the training split first."""
    digest = hashlib.blake2b(str(data.shape).encode(), digest_size=16)
    low, high = 255, 0
    for parts, split in zip(pixels, (data.train, data.test), strict=True):
        for part in parts:
            digest.update(np.ascontiguousarray(part).data)
            low, high = min(low, int(part.min())), max(high, int(part.max()))
        digest.update(b"no labels" if split.labels is None else split.labels.numpy().tobytes())
    return {"range": [low, high], "fingerprint": digest.hexdigest()}


def _parts(pixels: UInt8[Tensor, "n c h w"]) -> Iterable[np.ndarray]:
    for part in pixels.split(TOGETHER):
        if len(part):  # an empty split is split into one empty part
            yield part.numpy()
