"""The order of a stream as a function of (seed, epoch), with neighbours on the disk taken at about the same time.

Groups of neighbouring images are shuffled, taken in windows that fit a buffer, and each window's images are shuffled.
Nothing needs to be stored: any step can be the first, as in data/sampler.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Int64

from aimgan import noise


class Window(NamedTuple):
    """The groups of a window, and its images in the order that they are taken in."""

    groups: Int64[np.ndarray, " groups"]
    images: Int64[np.ndarray, " n"]


class Part(NamedTuple):
    """Images start..stop of a window, and the groups that the window after it needs (none in an epoch's last)."""

    window: Window
    start: int
    stop: int
    next_groups: Int64[np.ndarray, " groups"]


class Epoch(NamedTuple):
    """The groups in their order; window w has groups bounds[w]..bounds[w + 1], images starts[w]..starts[w + 1]."""

    groups: Int64[np.ndarray, " groups"]
    bounds: Int64[np.ndarray, " windows_and_1"]
    starts: Int64[np.ndarray, " windows_and_1"]

    def groups_of(self, window: int) -> Int64[np.ndarray, " groups"]:
        """Return a window's groups; none of a window that is not there."""
        return self.groups[slice(*self.bounds[window : window + 2])] if window < len(self.bounds) - 1 else _NONE


_NONE = np.empty(0, np.int64)
T = TypeVar("T")


class Order:
    """The order of images 0, 1, ..., of which the first sizes[0] are group 0, and so on.

    A window's groups have together at most `buffer` of `room`, or it is one group. `room` is by default the number of
    images.
    """

    def __init__(
        self,
        sizes: Int64[np.ndarray, " groups"],
        buffer: int,
        room: Int64[np.ndarray, " groups"] | None = None,
    ) -> None:
        self.sizes, self.buffer, self.room = sizes, buffer, sizes if room is None else room
        self._ends = np.cumsum(sizes)
        self._epochs: dict[Hashable, Epoch] = {}
        self._windows: dict[Hashable, Window] = {}

    def __len__(self) -> int:
        """The number of images."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def parts(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> list[Part]:
        """Return where the batch of step 0, 1, ... comes from, or rank's share of it, as slices of windows.

        An epoch has n // batch_size batches: the remainder is left out, another one each epoch.
        """
        number, position = divmod(step, len(self) // batch_size)
        share = batch_size // world
        start = position * batch_size + rank * share
        epoch = _kept(self._epochs, (seed, number), lambda: self._epoch(seed, number))
        first, last = np.searchsorted(epoch.starts, [start, start + share - 1], "right") - 1
        return [self._part(seed, number, epoch, int(w), start, start + share) for w in range(first, last + 1)]

    def _part(self, seed: int, number: int, epoch: Epoch, w: int, start: int, stop: int) -> Part:
        begin, end = int(epoch.starts[w]), int(epoch.starts[w + 1])
        window = _kept(self._windows, (seed, number, w), lambda: self._window(seed, number, epoch, w))
        return Part(window, max(start, begin) - begin, min(stop, end) - begin, epoch.groups_of(w + 1))

    def _epoch(self, seed: int, number: int) -> Epoch:
        groups = np.flatnonzero(self.sizes)
        groups = groups[_permutation(len(groups), seed, "groups", number)]
        filled = np.cumsum(self.room[groups])
        bounds = [0]
        while bounds[-1] < len(groups):
            before = filled[bounds[-1] - 1] if bounds[-1] else 0
            bounds.append(max(bounds[-1] + 1, int(np.searchsorted(filled, before + self.buffer, "right"))))
        starts = np.concatenate(([0], np.cumsum(self.sizes[groups])))[bounds]
        return Epoch(groups, np.array(bounds), starts)

    def _window(self, seed: int, number: int, epoch: Epoch, w: int) -> Window:
        groups = epoch.groups_of(w)
        images = np.concatenate([np.arange(self._ends[g] - self.sizes[g], self._ends[g]) for g in groups])
        return Window(groups, images[_permutation(len(images), seed, "window", number, w)])


def _permutation(n: int, *numbers: int | str) -> Int64[np.ndarray, " n"]:
    return torch.randperm(n, generator=noise.generator(*numbers)).numpy()


def _kept(memory: dict[Hashable, T], key: Hashable, make: Callable[[], T], most: int = 4) -> T:
    """Return what was made for this key before, of the last few keys (lru_cache would keep the order itself alive)."""
    if key not in memory:
        if len(memory) >= most:
            del memory[next(iter(memory))]
        memory[key] = make()
    return memory[key]
