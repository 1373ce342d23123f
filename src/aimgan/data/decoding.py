"""Images of a listing become pixels, in order, by threads that look a little ahead."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from aimgan.checked import require_memory
from aimgan.data.decode import Opener, Picture, Pixels, Scale, UndecodableError, UnscaledError, picture
from aimgan.data.listing import Listing
from aimgan.data.scale import scale_of
from aimgan.errors import AimganError

MAX_SIZE = 8_192  # pixels to a side
CHUNK, CHUNK_BYTES = 128, 2**24  # images to one task of the threads, and their pixels, at most
AHEAD = 2  # tasks a thread that are ready or under way: what bounds the memory
MOST_WORKERS = 16

Progress = Callable[[int, int], None]
Note = Sequence[Any]  # the number of an image, and what is to be said of it
Shape = tuple[int, int, int]
T = TypeVar("T")
Result = Picture | str | tuple[int, int]  # or why there is none, or the size of one that does not fit the others


@dataclass(frozen=True)
class Form:
    """How images are wanted: the side of a square, 1 or 3 channels, and the black and white of floats.

    Without a size all must be squares of one size; without channels they are grey if all of them are; without a scale
    it is looked for where one is needed (data/scale.py).
    """

    size: int | None = None
    channels: int | None = None
    scale: Scale | None = None

    def __post_init__(self) -> None:
        """Raise AimganError for what cannot be had."""
        if self.size is not None and not 1 <= self.size <= MAX_SIZE:
            most = f" and at most {MAX_SIZE:,}" * (self.size > 1)
            raise AimganError(f"got size {self.size}, expected at least 1 pixel{most}")
        if self.channels not in (None, 1, 3):
            raise AimganError(f"got {self.channels} channels, expected 1 (grey) or 3 (RGB)")
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise AimganError(f"got {self.scale[0]:g} as black and {self.scale[1]:g} as white, expected more for white")

    @property
    def shape(self) -> Shape | None:
        """One image's shape, where it is known beforehand."""
        return None if self.size is None or self.channels is None else (self.channels, self.size, self.size)


class Decoder:
    """Decodes images of one listing; floats and 32-bit integers by one scale, which is looked for when one comes."""

    def __init__(self, source: str, listing: Listing, form: Form) -> None:
        self.source, self.listing, self.form = source, listing, form
        self._lock = Lock()
        self._refused: AimganError | None = None

    def __call__(self, opener: Opener) -> Picture:
        """Return an image. Raises UndecodableError, and AimganError where no scale is found, once for all threads."""
        try:
            return picture(opener, self.form.size, self.form.channels, self.form.scale)
        except UnscaledError:
            with self._lock:
                if self.form.scale is None:
                    self.form = replace(self.form, scale=self._scale())
            return picture(opener, self.form.size, self.form.channels, self.form.scale)

    def _scale(self) -> Scale:
        if self._refused is None:
            openers = (partial(self.listing.open, k) for k in range(len(self.listing)))
            try:
                return scale_of(self.source, openers)
            except AimganError as error:
                self._refused = error
        raise self._refused


class Decoding:
    """Images of a listing on their way to pixels: which are broken and why, and which have more pages than one."""

    def __init__(self, source: str, listing: Listing, form: Form) -> None:
        self.source, self.listing = source, listing
        self.shape: Shape | None = form.shape
        self.broken: dict[int, str] = {}
        self.more: dict[int, int] = {}
        self._decoder = Decoder(source, listing, form)
        self._kept: tuple[int, int] | None = None

    @property
    def scale(self) -> Scale | None:
        """The scale of floats and 32-bit integers, where it was given or one was looked for."""
        return self._decoder.form.scale

    def chunks(self, start: int, progress: Progress | None) -> Iterator[tuple[int, list[Result]]]:
        """Yield the number of a chunk's first image and what became of its images, in order, from `start` on."""
        report, total = progress or (lambda done, total: None), len(self.listing)
        report(start, total)
        while start < total and not self.shape:  # the first good one says what the others are like
            yield start, self._taken(start, self._chunk(range(start, start + 1)))
            start += 1
        together = max(1, min(CHUNK, CHUNK_BYTES // math.prod(self.shape or ())))
        parts = [range(k, min(k + together, total)) for k in range(start, total, together)]
        with ThreadPoolExecutor(workers()) as pool:
            for part, results in in_order(pool, self._chunk, parts, AHEAD * workers()):
                yield part.start, self._taken(part.start, results)
                report(part.stop, total)

    def _chunk(self, part: range) -> list[Result]:
        return [self._attempt(k) for k in part]

    def _attempt(self, k: int) -> Result:
        """Return an image; or why there is none; or its size, where no size was asked for and it does not fit."""
        try:
            found = self._decoder(lambda: self.listing.open(k))
        except UndecodableError as error:
            return str(error)
        h, w = found.pixels.shape[1:]
        fits = self._decoder.form.size is not None or (h == w and self._kept in (None, (h, w)))
        return found if fits else (h, w)

    def _taken(self, first: int, results: list[Result]) -> list[Result]:
        """Note what became of images."""
        sizes: list[tuple[int, int]] = [self._kept] if self._kept else []
        for k, result in enumerate(results, first):
            if isinstance(result, str):
                self.broken[k] = result
            elif isinstance(result, Picture):
                self._fit(result.pixels.shape)
                if result.more:
                    self.more[k] = result.more
            else:
                raise self._mixed([*sizes, *(size for size in results if not isinstance(size, str | Picture))])
        return results

    def _fit(self, shape: tuple[int, ...]) -> None:
        c, h, w = shape
        self._kept = (h, w)
        self.shape = (max(c, self.shape[0] if self.shape else 1), h, w)

    def _mixed(self, sizes: Sequence[tuple[int, int]]) -> AimganError:
        seen = [f"{w}x{h}" for w, h in sorted({(w, h) for h, w in sizes})]
        listed = ", ".join(seen[:5]) + (", ..." if len(seen) > 5 else "")
        return AimganError(
            f"{self.source!r} has images of {listed}; expected one square size: pass --size, such as --size 64"
        )

    def notes(self, first: int, count: int) -> list[Note]:
        """Return what is to be said of some images, for a pack's journal."""
        part = range(first, first + count)
        broken = [[k, self.broken[k]] for k in part if k in self.broken]
        more = [[k, self.more[k]] for k in part if k in self.more]
        scaled = [[-1, list(scale)]] if (scale := self.scale) else []
        return [*broken, *more, *scaled]

    def recall(self, notes: Sequence[Note]) -> None:
        """Take over what a journal says."""
        for k, what in notes:
            if isinstance(what, list):
                self._decoder.form = replace(self._decoder.form, scale=(what[0], what[1]))
            elif isinstance(what, str):
                self.broken[k] = what
            else:
                self.more[k] = what

    def said(self, names: Sequence[str]) -> list[str]:
        """Return what is to be told of all the images."""
        lines = []
        if self.more:
            k = min(self.more)
            files = f"{len(self.more):,} files have" if len(self.more) > 1 else f"{names[k]!r} has"
            lines.append(f"{files} more pages or frames than the first, which is the one that is used")
        if self.scale is not None:
            black, white = self.scale
            lines.append(f"images of floats or 32-bit integers: {black:g} is black, {white:g} is white")
        return lines


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[range], T], parts: Iterable[range], ahead: int
) -> Iterator[tuple[range, T]]:
    """Yield parts with what the pool's threads made of them, in order; `ahead` of them wait or are under way."""
    waiting: deque[tuple[range, Future[T]]] = deque()
    try:
        for part in parts:
            waiting.append((part, pool.submit(work, part)))
            if len(waiting) > ahead:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt waits for what is being done, not for what is queued


class Rows:
    """Pixels in memory, with room for `most` images; grey ones become colour when the first in colour comes."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0
        self.pixels: np.ndarray | None = None

    def append(self, pixels: Pixels, shape: Shape | None) -> None:
        """Add an image; `shape` is that of all images so far."""
        assert shape is not None
        if self.pixels is None or self.pixels.shape[1] < shape[0]:
            self.pixels = self._room(shape)
        self.pixels[self.count] = pixels
        self.count += 1

    def array(self, shape: Shape | None) -> UInt8[np.ndarray, "n c h w"]:
        """Return the images. Those of the other split say what an image is like where this one has none."""
        if self.pixels is None or (shape and self.pixels.shape[1] < shape[0]):
            self.pixels = self._room(shape or (1, 1, 1))
        return self.pixels[: self.count]

    def _room(self, shape: Shape) -> np.ndarray:
        size = self.most * math.prod(shape)
        require_memory(size, f"{self.most:,} images of {shape}", "pass a smaller --size, or --set data.packed=true")
        room = np.empty((self.most, *shape), np.uint8)
        if self.pixels is not None:
            room[: self.count] = self.pixels[: self.count]
        return room


def workers() -> int:
    """Return how many threads decode: a core each, of those that the processes of a launch share."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, given // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
