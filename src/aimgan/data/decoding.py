"""Decoding of all images of a listing, in order, by threads that work a few chunks ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from aimgan.checked import cores
from aimgan.data.decode import Opener, Picture, Scale, UndecodableError, UnscaledError, decode_with_pages
from aimgan.data.listing import Listing
from aimgan.data.scale import scale_of
from aimgan.errors import AimganError

MAX_SIZE = 8_192  # pixels to a side
CHUNK, CHUNK_BYTES = 128, 2**24  # the most images that a thread decodes at a time, and the most bytes of pixels
AHEAD = 2  # chunks for each thread that are ready or in work: this bounds the memory
MOST_WORKERS = 16

Progress = Callable[[int, int], None]
Shape = tuple[int, int, int]
T = TypeVar("T")


@dataclass(frozen=True)
class Form:
    """The form in which images are read: the side of a square, 1 or 3 channels, black and white of floats.

    Without a size all images must be squares of one size. Without channels they are grey if all of them are. Without
    a scale the usual one is found if it is needed (data/scale.py). Raises AimganError for values out of range.
    """

    size: int | None = None
    channels: int | None = None
    scale: Scale | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not 1 <= self.size <= MAX_SIZE:
            raise AimganError(f"got size {self.size}, expected 1 to {MAX_SIZE:,} pixels")
        if self.channels not in (None, 1, 3):
            raise AimganError(f"got {self.channels} channels, expected 1 (grey) or 3 (RGB)")
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise AimganError(f"black must be less than white, got black {self.scale[0]:g} and white {self.scale[1]:g}")

    @property
    def shape(self) -> Shape | None:
        """The shape of one image; None if it depends on the images."""
        if self.size is None or self.channels is None:
            return None
        return (self.channels, self.size, self.size)


class Decoder:
    """Decodes images of one listing; finds the scale of floats and 32-bit integers when the first of them comes."""

    def __init__(self, source: str, listing: Listing, form: Form) -> None:
        self.source, self.listing, self.form = source, listing, form
        self._lock = Lock()
        self._refused: AimganError | None = None

    def __call__(self, opener: Opener) -> Picture:
        """Decode an image. Raises UndecodableError, and AimganError if the images have no usual scale."""
        try:
            return decode_with_pages(opener, self.form.size, self.form.channels, self.form.scale)
        except UnscaledError:
            self._find_scale()
            return decode_with_pages(opener, self.form.size, self.form.channels, self.form.scale)

    def _find_scale(self) -> None:
        """Find the scale once for all threads, since it takes a pass over all images; a failure is kept, too."""
        with self._lock:
            if self._refused is not None:
                raise self._refused
            if self.form.scale is None:
                openers = (partial(self.listing.open, k) for k in range(len(self.listing)))
                try:
                    self.form = replace(self.form, scale=scale_of(self.source, openers))
                except AimganError as error:
                    self._refused = error
                    raise


class Decoding:
    """The decoding of all images of a listing.

    Images are known by their numbers: `broken` says which cannot be used and why, `paged` which have more pages or
    frames than the one that is used.
    """

    def __init__(self, source: str, listing: Listing, form: Form) -> None:
        self.source, self.listing = source, listing
        self.broken: dict[int, str] = {}
        self.paged: set[int] = set()
        self._decoder = Decoder(source, listing, form)
        self._side = form.size

    @property
    def scale(self) -> Scale | None:
        """The scale of floats and 32-bit integers; None if there were none, and it was not given."""
        return self._decoder.form.scale

    def parts(self, start: int, progress: Progress | None) -> Iterator[tuple[range, list[tuple[int, np.ndarray]]]]:
        """Decode from image `start` on; yield each part of the images with the good ones in it, by their numbers.

        Raises AimganError if no size was given and images differ in size.
        """
        total = len(self.listing)
        report = progress or (lambda done, total: None)
        report(start, total)
        while start < total and self._side is None:  # the size of the first good image is that of all
            first = range(start, start + 1)
            yield first, self._taken(first, self._chunk(first))
            start += 1
        together = max(1, min(CHUNK, CHUNK_BYTES // (3 * (self._side or 1) ** 2)))
        parts = [range(k, min(k + together, total)) for k in range(start, total, together)]
        with ThreadPoolExecutor(workers()) as pool:
            for part, results in in_order(pool, self._chunk, parts, AHEAD * workers()):
                yield part, self._taken(part, results)
                report(part.stop, total)

    def _chunk(self, part: range) -> list[Picture | str]:
        return [self._attempt(k) for k in part]

    def _attempt(self, k: int) -> Picture | str:
        """Decode an image, or return why it cannot be used."""
        try:
            found = self._decoder(lambda: self.listing.open(k))
        except UndecodableError as error:
            return str(error)
        _, h, w = found.pixels.shape
        side = self._side or h
        if (h, w) != (side, side):
            got = f"{w}x{h}" if self._side is None else f"{side}x{side} and {w}x{h}"
            raise AimganError(
                f"{self.source!r} has images of {got}; expected one square size: pass --size, such as --size 64"
            )
        return found

    def _taken(self, part: range, results: Sequence[Picture | str]) -> list[tuple[int, np.ndarray]]:
        good = []
        for k, result in zip(part, results, strict=True):
            if isinstance(result, str):
                self.broken[k] = result
                continue
            self._side = result.pixels.shape[1]
            if result.has_more:
                self.paged.add(k)
            good.append((k, result.pixels))
        return good

    def record(self, part: range) -> dict[str, Any]:
        """Return which of these images are broken or have more pages, and the scale, as JSON."""
        broken = [[k, self.broken[k]] for k in part if k in self.broken]
        return {"broken": broken, "paged": [k for k in part if k in self.paged], "scale": self.scale}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Restore what `record` returned."""
        self.broken.update(record["broken"])
        self.paged.update(record["paged"])
        if record["scale"] is not None:
            black, white = record["scale"]
            self._decoder.form = replace(self._decoder.form, scale=(black, white))

    def notes(self) -> list[str]:
        """Return what the user should know about the images, in sentences."""
        lines = []
        if self.paged:
            files = f"{len(self.paged):,} files have"
            if len(self.paged) == 1:
                files = f"{self.listing.names[min(self.paged)]!r} has"
            lines.append(f"{files} more pages or frames than the first, which is the one that is used")
        if self.scale is not None:
            black, white = self.scale
            lines.append(f"images of floats or 32-bit integers: {black:g} is black, {white:g} is white")
        return lines


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[range], T], parts: Iterable[range], ahead: int
) -> Iterator[tuple[range, T]]:
    """Yield each part with the result of `work` on it, in order; the pool is at most `ahead` parts in advance."""
    waiting: deque[tuple[range, Future[T]]] = deque()
    try:
        for part in parts:
            waiting.append((part, pool.submit(work, part)))
            if len(waiting) > ahead:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # on an interrupt, only the parts in work are waited for


def workers() -> int:
    """Return the number of threads: one for each core, shared by the processes of a launch on this machine."""
    return max(1, min(MOST_WORKERS, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
