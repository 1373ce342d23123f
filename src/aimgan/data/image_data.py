"""A data set of images in memory, or mapped from a pack: its two splits, and what was read to make them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from aimgan.data.decode import Scale
from aimgan.data.names import Skipped

TOGETHER = 4_096  # images that are looked at together


@dataclass(frozen=True)
class Split:
    """Images as stored, 0 to 255, their classes where the source names them, and their own names in it."""

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"] | None
    names: Sequence[str]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.pixels)


@dataclass(frozen=True)
class ImageData:
    """A data set in two disjoint splits, what was left out of it and why, and where it came from.

    `by` is what named the splits (folder, file or hash), `classes` the names of labels 0, 1, ... where they have names,
    `not_read` how many files of each suffix were no images, `notes` what else is to be said. `packed` is the folder
    that the pixels are mapped from, None where they are in memory.
    """

    train: Split
    test: Split
    skipped: tuple[Skipped, ...]
    source: str
    by: str = "hash"
    classes: tuple[str, ...] = ()
    not_read: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    scale: Scale | None = None  # of floats and 32-bit integers, where there were some
    packed: Path | None = None
    known: Mapping[str, Any] | None = None  # what `measured` returned when they were packed

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image, (c, h, w)."""
        c, h, w = self.train.pixels.shape[1:]
        return c, h, w

    @cached_property
    def measured(self) -> Mapping[str, Any]:
        """The least and the largest value of a pixel, `range`, and a `fingerprint` of all pixels and labels."""
        splits = (self.train, self.test)
        return self.known or measured(self.shape, [(_parts(split.pixels), split.labels) for split in splits])


def measured(
    shape: tuple[int, int, int], splits: Sequence[tuple[Iterable[np.ndarray], Tensor | None]]
) -> dict[str, Any]:
    """Return the range of all pixels, and a fingerprint of them and of the labels. Pixels come a part at a time."""
    digest = hashlib.blake2b(str(shape).encode(), digest_size=16)
    low, high = 255, 0
    for parts, labels in splits:
        for part in parts:
            digest.update(np.ascontiguousarray(part).data)
            low, high = min(low, int(part.min())), max(high, int(part.max()))
        digest.update(b"no labels" if labels is None else labels.numpy().tobytes())
    return {"range": [low, high], "fingerprint": digest.hexdigest()}


def _parts(pixels: UInt8[Tensor, "n c h w"]) -> Iterator[np.ndarray]:
    return (part.numpy() for part in pixels.split(TOGETHER) if len(part))
