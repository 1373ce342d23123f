"""Any collection of images as uint8 pixels in two splits, decoded once: in memory, or packed where they do not fit.

All of it is deterministic: the same source gives the same pixels in the same order and the same two splits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from aimgan.checked import free_memory
from aimgan.data import packed as packs
from aimgan.data.decode import Picture, Pixels, quiet
from aimgan.data.decoding import Decoding, Form, Note, Progress, Rows
from aimgan.data.hub import HubError
from aimgan.data.image_data import ImageData, Split, measured
from aimgan.data.listing import Listing
from aimgan.data.names import Labels, Skipped
from aimgan.data.sources import find, state
from aimgan.errors import AimganError
from aimgan.growing import Kind

PACKED_TOGETHER, PACKED_BYTES = 4_096, 2**26  # images to one line of a pack's journal, and their pixels, at most

Say = Callable[[str], None]


def load_images(
    source: str | Path,
    size: int | None = None,
    channels: int | None = None,
    test_fraction: float = 0.1,
    progress: Progress | None = None,
) -> ImageData:
    """Load every image of `source` as uint8 (c, size, size): the shorter side resized, then the centre cropped.

    `source` is one of
      - a folder of image files, nested as it likes, or a .zip or .tar of one;
      - a folder (or a pattern, shards/*.tar) of .tar or .zip shards;
      - .npy, .npz (`images` and maybe `labels`; or keras's `x_train`, `y_train`, `x_test`, `y_test`), or a folder with
        `train.npz` and `test.npz`: uint8 or floats in [0, 1], (n, h, w), (n, h, w, c) or (n, c, h, w);
      - parquet in the Hub's layout, a file or a folder of them: `image` or `img` and maybe `label`;
      - the Hub id owner/name (or owner/name@revision) of a data set in that layout.

    Folders and files that are called train and test (or another keyword of the Hub's) are the splits; folders, .cls
    files, metadata.csv or columns of labels are the classes (docs/data.md has the rules, data/names.py is what reads
    them). Where the source names no splits, an image is in the test split if a hash of its name is below
    `test_fraction`, so it stays there when others are added.

    Of animations and stacks the first page is taken, EXIF orientation is applied, transparency shows white, 16-bit
    grey is scaled to 8. Broken, truncated and huge (over 64 megapixels) images are left out and listed in `skipped`.
    `progress(done, total)` is called now and then. Raises AimganError for a source that is missing, unreadable or
    without a single good image.
    """
    return Reader(str(source), Form(size, channels), test_fraction, progress=progress).read()


@dataclass(frozen=True)
class Reader:
    """A source, the form that its images are wanted in, and how they are to be read.

    `packed` says whether they are packed on the disk; None leaves it to the free memory. `say` is told in a line what
    takes disk or is waited for.
    """

    source: str
    form: Form
    test_fraction: float = 0.1
    packed: bool | None = None
    progress: Progress | None = None
    say: Say = lambda line: None

    def read(self) -> ImageData:
        """Return the images. Raises AimganError where there is none."""
        if not 0 <= self.test_fraction < 1:
            raise AimganError(f"got a test fraction of {self.test_fraction}, expected one from 0 to below 1")
        folder = self._folder()
        with ExitStack() as stack, quiet():
            if folder is not None and (pack := self._opened(folder)) is not None:
                return pack
            listing = find(self.source, stack)
            if not len(listing):
                raise self._nothing({}, listing)
            if folder is not None and self._is_packed(listing):
                return self._packed(listing, folder)
            return self._in_memory(listing)

    def _folder(self) -> Path | None:
        """Return where the images' pack is, or would be; None where they are not to be packed, or cannot be."""
        if self.packed is False or self.form.shape is None:
            if self.packed:
                raise AimganError("packing needs a size and channels: pass --size, and --set data.channels=1 or 3")
            return None
        try:
            return packs.folder_of(state(self.source), self._kind, self._settings)
        except HubError:
            folder = packs.found(self.source, self._kind, self._settings)
            if folder is None:
                raise
            self.say(f"the Hub cannot be reached: taking {self.source} as it was packed before, in {folder}")
            return folder

    @property
    def _settings(self) -> str:
        return f"test fraction {self.test_fraction}, scale {self.form.scale}"

    @property
    def _kind(self) -> Kind:
        assert self.form.shape is not None
        return Kind("|u1", self.form.shape)

    def _is_packed(self, listing: Listing) -> bool:
        """Whether the images do not fit in half of the free memory, which the processes of a launch share.

        Those of the Hub are packed in any case, so that they are fetched once.
        """
        if self.packed is not None:
            return self.packed
        if listing.remote:
            return True
        assert self.form.shape is not None
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return here * len(listing) * math.prod(self.form.shape) > free_memory() // 2

    def _in_memory(self, listing: Listing) -> ImageData:
        test = listing.held_out(self.test_fraction)
        decoding = Decoding(self.source, listing, self.form)
        rows = (Rows(int((~test).sum())), Rows(int(test.sum())))
        for first, results in decoding.chunks(0, self.progress):
            for k, result in enumerate(results, first):
                if isinstance(result, Picture):
                    rows[int(test[k])].append(result.pixels, decoding.shape)
        arrays = [own.array(decoding.shape) for own in rows]
        return self._made(listing, test, decoding, arrays)

    def _packed(self, listing: Listing, folder: Path) -> ImageData:
        test = listing.held_out(self.test_fraction)
        packing = packs.Packing(folder, self._kind, len(listing), self.say)
        try:
            if not packing.is_finished:
                self._pack(listing, test, packing)
        finally:
            packing.close()
        found = self._opened(folder)
        if found is None:
            raise AimganError(f"the pack in {folder} was changed while it was read: run the same command again")
        return found

    def _pack(self, listing: Listing, test: Bool[np.ndarray, " n"], packing: packs.Packing) -> None:
        decoding = Decoding(self.source, listing, self.form)
        decoding.recall(packing.notes)
        together = max(1, min(PACKED_TOGETHER, PACKED_BYTES // packing.kind.size))
        parts: tuple[list[Pixels], list[Pixels]] = ([], [])
        notes: list[Note] = []
        for first, results in decoding.chunks(packing.done, self.progress):
            for k, result in enumerate(results, first):
                if isinstance(result, Picture):
                    parts[int(test[k])].append(result.pixels)
            notes += decoding.notes(first, len(results))
            end = first + len(results)
            if end - packing.done >= together or end == len(listing):
                packing.append(end - packing.done, *parts, notes)
                parts, notes = ([], []), []
        data = self._made(listing, test, decoding, packing.pixels())
        if any(len(split) != len(split.names) for split in (data.train, data.test)):
            raise packing.damaged()
        about = {
            "source": self.source,
            "shape": list(data.shape),
            "settings": self._settings,
            **measured(data.shape, [*zip(packing.parts(), (data.train.labels, data.test.labels), strict=True)]),
            "by": data.by,
            "classes": data.classes,
            "not_read": data.not_read,
            "notes": data.notes,
            "scale": data.scale,
        }
        splits = (data.train, data.test)
        contents = [(None if split.labels is None else split.labels.numpy(), split.names) for split in splits]
        packing.finish(about, contents, data.skipped)

    def _opened(self, folder: Path) -> ImageData | None:
        """Return what a finished pack holds."""
        found = packs.opened(folder, self._kind)
        if found is None:
            return None
        record, contents, skipped = found
        train, test = (
            Split(torch.from_numpy(pixels), None if labels is None else torch.from_numpy(labels), names)
            for pixels, (labels, names) in contents
        )
        known = {name: record[name] for name in ("range", "fingerprint")}
        notes, classes = tuple(record["notes"]), tuple(record["classes"])
        scale = None if record["scale"] is None else (record["scale"][0], record["scale"][1])
        about = (record["by"], classes, record["not_read"], notes, scale)
        return ImageData(train, test, skipped, self.source, *about, folder, known)

    def _made(
        self, listing: Listing, test: Bool[np.ndarray, " n"], decoding: Decoding, arrays: Sequence[np.ndarray]
    ) -> ImageData:
        """Join pixels to their names and labels. Raises AimganError where a split has no good image."""
        good = np.ones(len(listing), bool)
        good[[*decoding.broken]] = False
        rows = (np.flatnonzero(good & ~test), np.flatnonzero(good & test))
        if not good.any():
            raise self._nothing(decoding.broken, listing)
        if not len(rows[0]) or (not len(rows[1]) and listing.test is not None):
            k = min(decoding.broken, default=0)
            first = f"the first, {listing.names[k]!r}: {decoding.broken.get(k, 'it is the only one')}"
            raise AimganError(f"all images of one split of {self.source!r} are broken: {first}")
        train, held_out = (
            Split(torch.from_numpy(pixels), _labels(listing.labels, own), [listing.names[k] for k in own.tolist()])
            for pixels, own in zip(arrays, rows, strict=True)
        )
        broken = tuple(Skipped(listing.names[k], why) for k, why in sorted(decoding.broken.items()))
        return ImageData(
            train,
            held_out,
            (*broken, *listing.skipped),
            self.source,
            listing.by,
            listing.classes,
            listing.not_read,
            (*listing.notes, *decoding.said(listing.names)),
            decoding.scale,
        )

    def _nothing(self, broken: Mapping[int, str], listing: Listing) -> AimganError:
        if broken:
            k = min(broken)
            first = f"the first, {listing.names[k]!r}: {broken[k]}"
            return AimganError(f"all {len(broken):,} images in {self.source!r} are broken: {first}")
        others = ", ".join(f"{count:,} {suffix}" for suffix, count in listing.not_read.items())
        there = f" (there are {others})" if others else ""
        return AimganError(
            f"no images in {self.source!r}{there}; expected files such as .jpg or .png, or .npz, .parquet, .tar"
        )


def _labels(labels: Labels | None, rows: Int64[np.ndarray, " m"]) -> Int64[Tensor, " m"] | None:
    return None if labels is None else torch.from_numpy(labels[rows])
