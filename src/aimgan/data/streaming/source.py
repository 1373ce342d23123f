"""What a stream reads from: images in a fixed order, in groups of neighbours, described by arrays alone.

A million Python objects would take more memory than the images of a window.
"""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64, UInt8

from aimgan.data.arrays import array_pixels
from aimgan.data.decode import UndecodableError, conform, decode
from aimgan.data.decoder import Content, Extent, Stamp
from aimgan.data.names import held_out
from aimgan.data.sources import MAX_MEMBER
from aimgan.data.worker import read
from aimgan.errors import AimganError

NEIGHBOURS = 256  # images of a group, where they are read one by one


@runtime_checkable
class Group(Protocol):
    """Neighbours that are read together."""

    def content(self, image: int) -> Content:
        """Return an image as stored. Raises UndecodableError for one that cannot be used, AimganError if it is gone."""
        ...

    def label(self, image: int) -> int | None:
        """Return its class, where the source names it."""
        ...


@runtime_checkable
class Source(Protocol):
    """Images 0, 1, ... of a data set. Group k has images ends[k - 1] up to ends[k]."""

    @property
    def ends(self) -> Int64[np.ndarray, " groups"]:
        """Where each group ends."""
        ...

    @property
    def stored(self) -> Int64[np.ndarray, " groups"]:
        """The bytes of memory that a group takes while it is read from; 0 where images are read one by one."""
        ...

    @property
    def test(self) -> Int8[np.ndarray, " n"]:
        """1 for an image of the test split, 0 for one to train on, -1 where a hash decides."""
        ...

    @property
    def hashes(self) -> Float64[np.ndarray, " n"]:
        """A number in [0, 1) from each image's name."""
        ...

    def group(self, number: int) -> Group:
        """Read a group, as far as it is read at once. Raises AimganError if it cannot be."""
        ...

    def name(self, image: int) -> str:
        """Return what a person calls an image."""
        ...


def stamp(path: Path) -> Stamp:
    """Describe a file. Raises AimganError where there is none."""
    try:
        found = path.stat()
    except OSError as error:
        raise AimganError(f"cannot read {str(path)!r}: {error.strerror}") from error
    return Stamp(str(path), found.st_size, found.st_mtime_ns)


def extent(file: Stamp, offset: int, length: int) -> Extent:
    """Return where an image is. Raises UndecodableError for too few or too many bytes."""
    if not 0 < length <= MAX_MEMBER:
        raise UndecodableError("empty file" if length == 0 else f"{length:,} bytes, over {MAX_MEMBER:,}")
    return Extent(file, offset, length)


def read_at(file: Stamp, offset: int, length: int) -> bytes:
    """Read bytes of a file. Raises AimganError if it was removed or changed."""
    try:
        return read(*file, offset, length)
    except OSError as error:
        raise gone(file.path, error.strerror or str(error)) from error


def gone(path: str, reason: str) -> AimganError:
    """Return the error for data that went away while they were in use."""
    return AimganError(
        f"cannot read {path!r} any more ({reason}): put it back as it was and run the same command again"
    )


def neighbours(counts: list[int]) -> Int64[np.ndarray, " groups"]:
    """Return the ends of groups of at most NEIGHBOURS images, none of them in two of the files of these counts."""
    ends = np.cumsum([0, *counts])
    parts = [np.arange(a + NEIGHBOURS, b + NEIGHBOURS, NEIGHBOURS).clip(max=b) for a, b in pairwise(ends)]
    return np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)


def is_test(source: Source, fraction: float) -> Bool[np.ndarray, " n"]:
    """Return which images are held out: by the source's own splits, else by the hash of their names."""
    return source.test == 1 if (source.test >= 0).all() else held_out(source.hashes, fraction)


def pixels(content: Content, size: int, channels: int) -> UInt8[np.ndarray, "c s s"]:
    """Return an image as (channels, size, size), as the in-memory loader does.

    Raises UndecodableError, or AimganError for a file that is gone.
    """
    if isinstance(content, np.ndarray):
        try:
            return conform(array_pixels(content[None], "it"), size, channels, lambda done, total: None)[0]
        except AimganError as error:  # NaN, or floats that are not in [0, 1]
            raise UndecodableError(str(error)) from error
    source = BytesIO(read_at(*content)) if isinstance(content, Extent) else content
    return decode(lambda: source, size, channels)
