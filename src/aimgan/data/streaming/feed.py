"""Batches of a stream, decoded by processes a few steps ahead of the training."""

from __future__ import annotations

import logging
import os
import warnings
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from aimgan.data.decode import UndecodableError
from aimgan.data.decoder import Content, Decoder
from aimgan.data.streaming.order import Order, Window
from aimgan.data.streaming.source import Group, Source, pixels
from aimgan.errors import AimganError

MOST_WORKERS = 8  # processes that decode; reading for more of them would take a core of the training's own process
AHEAD = 3  # batches that are decoded before they are asked for
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


class Task(NamedTuple):
    """Images of one window, from `start` on, that are decoded together, into `rows` of a batch."""

    window: Window
    groups: dict[int, Future[Group]]
    start: int
    rows: UInt8[np.ndarray, "n c s s"]


class Begun(NamedTuple):
    """A batch under way: its pixels, what fills them, and the groups that it needs or that come after them."""

    pixels: UInt8[Tensor, "b c s s"]
    tasks: list[Future[None]]
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
        self.workers = min(cores(), MOST_WORKERS)
        self._pool, self._reader = ThreadPoolExecutor(self.workers, "decode"), ThreadPoolExecutor(1, "read")
        decoders = [Decoder() for _ in range(self.workers)]
        self._idle: SimpleQueue[Decoder] = SimpleQueue()
        for decoder in decoders:
            self._idle.put(decoder)
        weakref.finalize(self, _stop, decoders)
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
        """Return the batch of step 0, 1, ..., or rank's share of it. Raises AimganError, a thread's too."""
        asked = Request(seed, step, batch_size, rank, world)
        wanted = [asked._replace(step=step + k) for k in range(AHEAD + 1)]
        for request in self._pending.keys() - set(wanted):
            for task in self._pending.pop(request).tasks:
                task.cancel()
        for request in wanted:
            if request not in self._pending:
                self._pending[request] = self._begin(request)
        self._let_go()
        begun = self._pending.pop(asked)
        for task in begun.tasks:
            task.result()
        self._tell()
        return begun.pixels

    def _begin(self, request: Request) -> Begun:
        share = request.batch_size // request.world
        begun, at = Begun(torch.empty((share, *self.shape), dtype=torch.uint8), [], set()), 0
        for part in self._order.parts(*request):
            groups = {number: self._group(number) for number in part.window.groups.tolist()}
            each = -(-(part.stop - part.start) // self.workers)
            for start in range(part.start, part.stop, each):
                n = min(each, part.stop - start)
                task = Task(part.window, groups, start, begun.pixels[at : at + n].numpy())
                begun.tasks.append(self._pool.submit(self._fill, task))
                at += n
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
        for number in self._groups.keys() - needed:
            self._groups.pop(number).cancel()

    def _fill(self, task: Task) -> None:
        """Decode a task's images: those that a process cannot, here, which says why or gives them a substitute."""
        images = self.images[task.window.images[task.start : task.start + len(task.rows)]]
        numbers = np.searchsorted(self.source.ends, images, "right")
        places = zip(numbers.tolist(), images.tolist(), strict=True)
        stored = [_content(task.groups[number].result(), image) for number, image in places]
        good = self._by_process(stored, task.rows)
        for k in np.flatnonzero(~good).tolist():
            task.rows[k] = self._image(task, k)

    def _by_process(self, stored: list[Content | None], rows: UInt8[np.ndarray, "n c s s"]) -> Bool[np.ndarray, " n"]:
        """Have images decoded by a process, and return which were: not what is no file, nor broken."""
        if all(content is None or isinstance(content, np.ndarray) for content in stored):
            return np.zeros(len(stored), bool)
        decoder = self._idle.get()  # there are as many as threads
        try:
            return decoder.decode(stored, rows)
        finally:
            self._idle.put(decoder)

    def _image(self, task: Task, k: int) -> UInt8[np.ndarray, "c s s"]:
        """Decode a task's image k, or the next good one after it, round to the window's begin."""
        window = task.window.images
        for turn in range(len(window)):
            image = int(self.images[window[(task.start + k + turn) % len(window)]])
            if image in self.broken:
                continue
            group = task.groups[int(np.searchsorted(self.source.ends, image, "right"))].result()
            try:
                return pixels(group.content(image), *self.shape[1::-1])
            except UndecodableError as error:
                self.broken[image] = str(error)
        raise AimganError(f"all {len(window):,} images of a window are broken: check the source")

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


def _content(group: Group, image: int) -> Content | None:
    try:
        return group.content(image)
    except UndecodableError:
        return None


def _stop(decoders: list[Decoder]) -> None:
    for decoder in decoders:
        decoder.stop()


def cores() -> int:
    """Return how many cores this process has, of those that torchrun's processes on this machine share."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, given // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
