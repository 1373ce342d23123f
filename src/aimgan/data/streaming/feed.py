"""Batches of a stream, decoded by threads a few steps ahead of the training."""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from aimgan.data.decode import UndecodableError
from aimgan.data.streaming.order import Order, Window
from aimgan.data.streaming.source import Group, Source, pixels
from aimgan.errors import AimganError

WORKERS = 2  # threads that decode; of small images most is Python, for which more of them would only contend
AHEAD = 3  # batches that are decoded before they are asked for
TASK = 16  # images to one task of the pool
IN_MEMORY = 128 * 2**20  # bytes of a window whose groups are read whole; up to three windows are held
NOWHERE = logging.NullHandler()
SHOWN = 50  # broken images that are named


class BrokenImage(UserWarning):
    """An image of a stream cannot be used, and another one took its place."""


class Request(NamedTuple):
    """What is asked of a feed."""

    seed: int
    step: int
    batch_size: int
    rank: int
    world: int


class Begun(NamedTuple):
    """A batch under way: what decodes it, and the groups that it needs or that come after them."""

    tasks: list[Future[np.ndarray]]
    groups: set[int]


class Feed:
    """Training batches from `images` of a source, numbers in ascending order; every one once an epoch.

    A broken image's place is taken by the next good one of its window, so that the others keep their places; it is
    named in a warning, once. A request that is not the step after the last one is answered too, only later.
    """

    def __init__(self, source: Source, images: Int64[np.ndarray, " n"], size: int, channels: int, buffer: int) -> None:
        self.source, self.images, self.shape = source, images, (channels, size, size)
        sizes = np.bincount(np.searchsorted(source.ends, images, "right"), minlength=len(source.ends))
        self._order = Order(sizes, buffer, np.maximum(sizes, source.stored * buffer // IN_MEMORY))
        self._pool, self._reader = ThreadPoolExecutor(WORKERS, "decode"), ThreadPoolExecutor(1, "read")
        self._pending: dict[Request, Begun] = {}
        self._groups: dict[int, Future[Group]] = {}
        self.broken: dict[int, str] = {}
        self._told = 0
        # What Pillow says of damaged files: decode.quiet cannot go round threads that outlive a block.
        warnings.filterwarnings("ignore", module="PIL")
        logging.getLogger("PIL").addHandler(NOWHERE)

    @property
    def size(self) -> int:
        """How many images make an epoch."""
        return len(self._order)

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> UInt8[Tensor, "b c s s"]:
        """Return the batch of step 0, 1, ..., or rank's share of it. Raises what a thread raised: AimganError."""
        asked = Request(seed, step, batch_size, rank, world)
        wanted = [asked._replace(step=step + k) for k in range(AHEAD + 1)]
        for request in self._pending.keys() - set(wanted):
            _cancel(self._pending.pop(request).tasks)
        for request in wanted:
            if request not in self._pending:
                self._pending[request] = self._begin(request)
        self._let_go()
        rows = [task.result() for task in self._pending.pop(asked).tasks]
        self._tell()
        return torch.from_numpy(np.concatenate(rows))

    def _begin(self, request: Request) -> Begun:
        begun = Begun([], set())
        for part in self._order.parts(*request):
            groups = {number: self._group(number) for number in part.window.groups.tolist()}
            for start in range(part.start, part.stop, TASK):
                places = range(start, min(start + TASK, part.stop))
                begun.tasks.append(self._pool.submit(self._decode, part.window, groups, places))
            for number in part.next_groups.tolist():
                self._group(number)
            begun.groups.update(groups, part.next_groups.tolist())
        return begun

    def _group(self, number: int) -> Future[Group]:
        if number not in self._groups:
            self._groups[number] = self._reader.submit(self.source.group, number)
        return self._groups[number]

    def _let_go(self) -> None:
        """Forget the groups that no batch under way is from, nor those in the window after it."""
        needed = set[int]().union(*(begun.groups for begun in self._pending.values()))
        _cancel([self._groups.pop(number) for number in self._groups.keys() - needed])

    def _decode(self, window: Window, groups: dict[int, Future[Group]], places: range) -> UInt8[np.ndarray, "b c s s"]:
        return np.stack([self._image(window, groups, place) for place in places])

    def _image(self, window: Window, groups: dict[int, Future[Group]], place: int) -> UInt8[np.ndarray, "c s s"]:
        """Decode the image at a place of a window, or the next good one after it, round to the window's begin."""
        for turn in range(len(window.images)):
            image = int(self.images[window.images[(place + turn) % len(window.images)]])
            if image in self.broken:
                continue
            group = groups[int(np.searchsorted(self.source.ends, image, "right"))].result()
            try:
                return pixels(group, image, *self.shape[1::-1])
            except UndecodableError as error:
                self.broken[image] = str(error)
        raise AimganError(f"all {len(window.images):,} images of a window are broken: check the source")

    def _tell(self) -> None:
        """Name broken images that were found since the last batch."""
        found = list(self.broken.items())[self._told :] if len(self.broken) > self._told else []
        for image, reason in found:
            self._told += 1
            if self._told <= SHOWN:
                told = f"{self.source.name(image)}: {reason}; the next image of its window takes its place"
                warnings.warn(told, BrokenImage, stacklevel=3)
            elif self._told == SHOWN + 1:
                warnings.warn(f"over {SHOWN} broken images: the others are not named", BrokenImage, stacklevel=3)


def _cancel(futures: list[Future[Any]]) -> None:
    for future in futures:
        future.cancel()
