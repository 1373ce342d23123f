"""Reading of any collection of images as uint8 pixels in two splits, in memory or, if they do not fit, packed.

Reading is deterministic: the same source gives the same pixels, in the same order, in the same splits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8

from aimgan.checked import free_memory, require_memory
from aimgan.data import packed as packs
from aimgan.data.decode import UndecodableError, quiet
from aimgan.data.decoding import Decoder, Decoding, Form, Progress
from aimgan.data.hub import HubError
from aimgan.data.image_data import ImageData, Split
from aimgan.data.listing import Listing
from aimgan.data.names import Skipped
from aimgan.data.packed import Say
from aimgan.data.sources import find, state
from aimgan.errors import AimganError
from aimgan.growing import Line, RowType


def load_images(
    source: str | Path,
    size: int | None = None,
    channels: int | None = None,
    test_fraction: float = 0.1,
    progress: Progress | None = None,
) -> ImageData:
    """Load every image of `source` as uint8 (c, size, size): the shorter side resized, then the centre cropped.

    A source is a folder of images, a .zip or .tar of one, a folder or a pattern of shards, .npy, .npz, parquet in the
    Hub's layout, or a Hub id; docs/data.md has the rules for splits and classes. Where nothing names the splits, an
    image is in the test split if a hash of its name is below `test_fraction`. Images that cannot be used are listed in
    `skipped`. `progress(done, total)` is called now and then. Raises AimganError for a source that is missing,
    unreadable or without a good image.
    """
    return Reader(str(source), Form(size, channels), test_fraction, progress=progress).read()


@dataclass(frozen=True)
class Reader:
    """Reads the images of a source in some form.

    `packed` says whether they are packed on the disk; with None it depends on the free memory. `say` is called with a
    line when disk space is used, or when another process has to be waited for. `listing` is that of images which are
    in memory already, and are not packed.
    """

    source: str
    form: Form
    test_fraction: float = 0.1
    packed: bool | None = None
    progress: Progress | None = None
    say: Say = lambda line: None
    listing: Listing | None = None

    def read(self) -> ImageData:
        """Return the images. Raises AimganError if there are none."""
        if not 0 <= self.test_fraction < 1:
            raise AimganError(f"got a test fraction of {self.test_fraction}, expected one from 0 to below 1")
        if self.packed and self.form.size is None:
            raise AimganError("packing needs a size: pass --size")
        with ExitStack() as stack, quiet():
            finished = self._finished_pack()
            if finished is not None:
                return finished
            listing = find(self.source, stack) if self.listing is None else self.listing
            if not len(listing):
                raise self._no_images({}, listing)
            test = listing.held_out(self.test_fraction)
            if self._is_packed(listing):
                return self._packed(listing, test)
            return self._decoded(listing, test, Memory(test), self.form)

    @property
    def _row_types(self) -> list[RowType]:
        """The types of row that a pack of the images may have: none if they are not to be packed."""
        size = self.form.size
        if size is None or self.packed is False or self.listing is not None:
            return []
        channels = (3, 1) if self.form.channels is None else (self.form.channels,)
        return [RowType("|u1", (c, size, size)) for c in channels]

    def _finished_pack(self) -> ImageData | None:
        """Return the images as they were packed before, or None."""
        try:
            folders: list[Path | None] = [self._pack_folder(row_type) for row_type in self._row_types]
        except HubError:
            folders = [packs.found(self.source, row_type, self._settings) for row_type in self._row_types]
            packed = next((folder for folder in folders if folder), None)
            if packed is None:
                raise
            self.say(f"the Hub cannot be reached: taking {self.source} as it was packed before, in {packed}")
        for folder, row_type in zip(folders, self._row_types, strict=True):
            data = packs.opened(folder, row_type) if folder else None
            if data is not None:
                return data
        return None

    def _pack_folder(self, row_type: RowType) -> Path:
        """Return where the pack of the images is, or would be."""
        return packs.folder_of(self._state, row_type, self._settings)

    @cached_property
    def _state(self) -> str:
        return state(self.source)

    @property
    def _settings(self) -> str:
        channels = ", channels of the images" if self.form.channels is None else ""
        return f"test fraction {self.test_fraction}, scale {self.form.scale}{channels}"

    def _is_packed(self, listing: Listing) -> bool:
        """Return whether the images do not fit in half of the free memory, shared by the processes of a launch.

        Images of the Hub are always packed, so that they are downloaded once.
        """
        if not self._row_types:
            return False
        if self.packed is not None:
            return self.packed
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        largest = self._row_types[0].size
        return listing.remote or processes * len(listing) * largest > free_memory() // 2

    def _packed(self, listing: Listing, test: Bool[np.ndarray, " n"]) -> ImageData:
        form = self.form if self.form.channels else replace(self.form, channels=self._channels(listing))
        assert form.shape is not None
        row_type = RowType("|u1", form.shape)
        packing = packs.Packing(self._pack_folder(row_type), row_type, len(listing), self.say)
        try:
            if not packing.is_finished:
                data = self._decoded(listing, test, packing, form)
                for split in (data.train, data.test):
                    if len(split) != len(split.names):  # the journal belongs to other images
                        raise packing.discard_damaged()
                packing.finish(data, self._settings)
        finally:
            packing.close()
        finished = packs.opened(packing.folder, packing.row_type)
        if finished is None:
            raise AimganError(f"the pack in {packing.folder} was changed while it was read: run the same command again")
        return finished

    def _channels(self, listing: Listing) -> int:
        """Return 1 if all images are grey, else 3. The first image in colour ends the search."""
        decoder = Decoder(self.source, listing, self.form)
        for k in range(len(listing)):
            with suppress(UndecodableError):
                if len(decoder(partial(listing.open, k)).pixels) == 3:
                    return 3
        return 1

    def _decoded(
        self, listing: Listing, test: Bool[np.ndarray, " n"], store: Memory | packs.Packing, form: Form
    ) -> ImageData:
        """Decode the images that are not in a store yet into it, and return all of them."""
        decoding = Decoding(self.source, listing, form)
        for line in store.lines:
            decoding.restore(line)
        for part, chunk in decoding.parts(store.done, self.progress):
            splits: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
            for k, pixels in chunk:
                splits[bool(test[k])].append(pixels)
            store.append(len(part), splits, decoding.record(part))
        return self._joined(listing, test, decoding, store.pixels())

    def _joined(
        self, listing: Listing, test: Bool[np.ndarray, " n"], decoding: Decoding, pixels: Sequence[np.ndarray]
    ) -> ImageData:
        """Join the pixels of the two splits with names and labels. Raises AimganError for a split without images."""
        broken = decoding.broken
        good = np.ones(len(listing), bool)
        good[[*broken]] = False
        train, held_out = np.flatnonzero(good & ~test), np.flatnonzero(good & test)
        if not good.any():
            raise self._no_images(broken, listing)
        if not len(train) or (not len(held_out) and listing.test is not None):
            first = ""
            if broken:
                k = min(broken)
                first = f" (the first broken one, {listing.names[k]!r}: {broken[k]})"
            raise AimganError(
                f"the {'test' if len(train) else 'train'} split of {self.source!r} has no usable image{first}"
            )
        skipped = [Skipped(listing.names[k], broken[k]) for k in sorted(broken)]
        return ImageData(
            _split(pixels[0], train, listing),
            _split(pixels[1], held_out, listing),
            skipped=(*skipped, *listing.skipped),
            source=self.source,
            by=listing.by,
            classes=listing.classes,
            not_read=listing.not_read,
            notes=(*listing.notes, *decoding.notes()),
            scale=decoding.scale,
        )

    def _no_images(self, broken: Mapping[int, str], listing: Listing) -> AimganError:
        if broken:
            k = min(broken)
            first = f"the first, {listing.names[k]!r}: {broken[k]}"
            return AimganError(f"all {len(broken):,} images in {self.source!r} are broken: {first}")
        others = ", ".join(f"{count:,} {suffix}" for suffix, count in listing.not_read.items())
        there = f" (there are {others})" if others else ""
        if listing.skipped:
            item = listing.skipped[0]
            there += f" ({len(listing.skipped):,} left out: {item.name!r}, {item.reason})"
        return AimganError(
            f"no images in {self.source!r}{there}; expected files such as .jpg or .png, or .npz, .parquet, .tar"
        )


def _split(pixels: UInt8[np.ndarray, "m c h w"], rows: Int64[np.ndarray, " n"], listing: Listing) -> Split:
    names = [listing.names[k] for k in rows.tolist()]
    labels = None if listing.labels is None else torch.from_numpy(listing.labels[rows])
    return Split(torch.from_numpy(pixels), labels, names)


class Memory:
    """The pixels of both splits in memory: grey, until the first image in colour comes."""

    done = 0  # images that have been decoded before
    lines: tuple[Line, ...] = ()  # the records of those images

    def __init__(self, test: Bool[np.ndarray, " n"]) -> None:
        self.total = len(test)
        self.ends = [0, int((~test).sum())]  # of training images, and of test images behind them
        self.begins = tuple(self.ends)
        self.array = np.empty((self.total, 0, 1, 1), np.uint8)

    def append(self, images: int, splits: Sequence[Sequence[np.ndarray]], record: object) -> None:
        """Add images to the splits."""
        for which, chunk in enumerate(splits):
            for pixels in chunk:
                if len(pixels) > self.array.shape[1]:
                    self._grow(pixels.shape)
                self.array[self.ends[which]] = pixels
                self.ends[which] += 1

    def _grow(self, shape: tuple[int, ...]) -> None:
        size = self.total * math.prod(shape)
        require_memory(size, f"{self.total:,} images of {shape}", "pass a smaller --size, or --set data.packed=true")
        grey, self.array = self.array, np.empty((self.total, *shape), np.uint8)
        if grey.shape[1]:
            self.array[:] = grey

    def pixels(self) -> list[np.ndarray]:
        """Return the pixels (n, c, h, w) of the two splits."""
        return [self.array[begin:end] for begin, end in zip(self.begins, self.ends, strict=True)]
