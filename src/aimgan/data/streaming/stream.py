"""The data kind `stream`: what a path or a Hub id holds, and the bounded part of it that evaluation keeps in memory."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from aimgan import noise
from aimgan.data.decode import UndecodableError, quiet
from aimgan.data.image_set import ImageSet
from aimgan.data.images import ImageData, Progress, Split
from aimgan.data.names import Skipped
from aimgan.data.sampler import order
from aimgan.data.streaming.feed import Feed
from aimgan.data.streaming.plain import files, stored
from aimgan.data.streaming.source import Group, Source, is_test, pixels
from aimgan.data.streaming.tables import HUB_ID, hub_tables, local_tables
from aimgan.data.streaming.tars import tars
from aimgan.errors import AimganError

EXPECTED = "expected a folder (or a glob) of .tar or .parquet shards, a folder of images, .npy, or a Hub id owner/name"
LOOKED_AT = 4  # times `sample` images: where few are of a split, not all the data are read to find them


@dataclass(frozen=True)
class Stream:
    """Images that are read while training: tar shards, parquet (of the Hub too), a folder of files, a .npy.

    `buffer` images are shuffled together (fewer, if they are parquet of over 128 MiB). Evaluation sees at most
    `sample` images of each split, which stay in memory.
    """

    path: str = ""
    size: int = 64
    channels: int = 3
    test_fraction: float = 0.1
    buffer: int = 10_000
    sample: int = 10_000

    def load(self, progress: Progress | None = None) -> ImageSet:
        """Index the source, and decode what evaluation needs. Raises AimganError where there is nothing to decode."""
        self._check()
        source = find(self.path, progress or (lambda done, total: None))
        held_out = is_test(source, self.test_fraction)
        if not len(held_out):
            raise AimganError(f"no images in {self.path!r}: {EXPECTED}")
        train, skipped = self._resident(source, ~held_out)
        test, more = self._resident(source, held_out)
        if not len(train):
            reason = f"the first, {skipped[0].name!r}: {skipped[0].reason}" if skipped else "all are held out"
            raise AimganError(f"no image of {self.path!r} to train on can be used: {reason}")
        feed = Feed(source, np.flatnonzero(~held_out), self.size, self.channels, self.buffer)
        return ImageSet(ImageData(train, test, (*skipped, *more), self.path), feed)

    def _check(self) -> None:
        if not self.path:
            raise AimganError(f"this recipe needs images: pass --data PATH; {EXPECTED}")
        least = {"size": self.size, "buffer": self.buffer, "sample": self.sample}
        for name, value in least.items():
            if value < 1:
                raise AimganError(f"data.{name} is {value}; expected at least 1")
        if self.channels not in (1, 3) or not 0 <= self.test_fraction < 1:
            got = f"{self.channels} channels and a test fraction of {self.test_fraction}"
            raise AimganError(f"got {got}; expected 1 or 3, and a fraction from 0 to below 1")

    def _resident(self, source: Source, chosen: Bool[np.ndarray, " n"]) -> tuple[Split, tuple[Skipped, ...]]:
        """Decode a fixed sample of a split: whole groups in a random order, until there are enough images."""
        most = min(self.sample, int(chosen.sum()))
        kept = np.empty((most, self.channels, self.size, self.size), np.uint8)  # not stacked: that takes it twice
        labels: list[int | None] = []
        names: list[str] = []
        skipped: list[Skipped] = []
        with quiet():
            for group, image in islice(_sampled(source, chosen, LOOKED_AT * self.sample), self.sample):
                try:
                    kept[len(names)] = pixels(group.content(image), self.size, self.channels)
                except UndecodableError as error:
                    skipped.append(Skipped(source.name(image), str(error)))
                    continue
                labels.append(group.label(image))
                names.append(source.name(image))
        known = [label for label in labels if label is not None]
        classes = torch.tensor(known, dtype=torch.int64) if names and len(known) == len(names) else None
        return Split(torch.from_numpy(kept[: len(names)]), classes, tuple(names)), tuple(skipped)


def _sampled(source: Source, chosen: Bool[np.ndarray, " n"], most: int) -> Iterator[tuple[Group, int]]:
    """Yield chosen images and their groups, from groups that have together about `most` images."""
    ends = np.concatenate(([0], source.ends))
    having = np.unique(np.searchsorted(source.ends, np.flatnonzero(chosen), "right"))
    looked_at = 0
    for k in having[order(len(having), noise.mix("sample"), 0).numpy()]:
        if looked_at >= most:
            return
        looked_at += int(ends[k + 1] - ends[k])
        group = source.group(int(k))
        yield from ((group, int(ends[k]) + int(i)) for i in np.flatnonzero(chosen[ends[k] : ends[k + 1]]))


def find(source: str, progress: Progress) -> Source:
    """Return what `source` names, indexed. Raises AimganError where it is nothing that can be read at any place."""
    path = Path(os.path.expanduser(source))
    there = os.path.exists(path)  # which knows names that are too long, or have a NUL in them
    if there and path.is_dir():
        for suffix in (".tar", ".parquet"):
            shards = sorted(file for file in path.rglob(f"*{suffix}") if _is_shard(file))
            if shards:
                return READERS[suffix](path, shards, progress)
        return files(path)
    found = [path] if there else sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    suffixes = {file.suffix.lower() for file in found}
    if len(suffixes) == 1 and suffixes <= READERS.keys() and all(file.is_file() for file in found):
        return READERS[suffixes.pop()](path.parent, found, progress)
    if found or not HUB_ID.fullmatch(source):
        raise AimganError(f"{source!r} {'cannot be streamed' if found else 'is not there'}: {EXPECTED}")
    return hub_tables(source, progress)


def _is_shard(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and file.name != "metadata.parquet"  # no pipes


def _one_array(root: Path, paths: list[Path], progress: Progress) -> Source:
    if len(paths) > 1:
        raise AimganError(f"got {len(paths)} .npy files; expected one, or shards")
    return stored(paths[0])


READERS: dict[str, Callable[[Path, list[Path], Progress], Source]] = {
    ".tar": lambda root, paths, progress: tars(paths, progress),
    ".parquet": local_tables,
    ".npy": _one_array,
}
