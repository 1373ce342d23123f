"""Images in memory, decoded once: `load_images` reads a folder, a zip, arrays, parquet or a Hub id.

All of it is deterministic: the same source gives the same pixels in the same order and the same two splits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from aimgan.checked import require_memory
from aimgan.data.decode import Opener, UndecodableError, conform, decode, quiet
from aimgan.data.names import Skipped, Tag, hashed, held_out
from aimgan.data.sources import Block, Listing, find
from aimgan.errors import AimganError

WORKERS = 4
MAX_SIZE = 8_192  # pixels to a side
CHUNK = 256  # images in flight
GROUP = 16  # of them to one task of the pool: small images take less time than handing one over does

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Split:
    """Images as stored, 0 to 255, their classes where the source names them, and their own names in it."""

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"] | None
    names: tuple[str, ...]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.pixels)


@dataclass(frozen=True)
class ImageData:
    """A data set in two disjoint splits, what was left out of it and why, and where it came from."""

    train: Split
    test: Split
    skipped: tuple[Skipped, ...]
    source: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image, (c, h, w)."""
        c, h, w = self.train.pixels.shape[1:]
        return c, h, w


def load_images(
    source: str | Path,
    size: int | None = None,
    channels: int | None = None,
    test_fraction: float = 0.1,
    progress: Progress | None = None,
) -> ImageData:
    """Load every image of `source` as uint8 (c, size, size): the shorter side resized, then the centre cropped.

    `source` is one of
      - a folder of image files, nested as it likes. Folders `train` and `test` (or `validation`, `val`) at its top are
        the splits; the folders at the top (of each split) are the classes, if all images are in one and there are two;
      - a .zip of such a folder, read in memory;
      - .npy, .npz (`images` and maybe `labels`; or keras's `x_train`, `y_train`, `x_test`, `y_test`), or a folder with
        `train.npz` and `test.npz`: uint8 or floats in [0, 1], (n, h, w), (n, h, w, c) or (n, c, h, w);
      - a folder of parquet files in the Hub's layout: `image` or `img` and maybe `label`;
      - the Hub id owner/name of a data set in that layout.

    `size=None` keeps the size of the images, which must then be square and equal; `channels=None` is 1 if all of them
    are stored as grey, else 3. Where the source names no splits, an image is in the test split if a hash of its name
    is below `test_fraction`, so it stays there when others are added; with two images or more each split has one at
    least, unless `test_fraction` is 0. Of animations the first frame is taken, EXIF orientation is applied,
    transparency shows white, 16-bit grey is scaled to 8. `progress(done, total)` is called now and then.

    Broken, truncated and huge (over 64 megapixels) images are left out and listed in `skipped`. Raises AimganError for
    a source that is missing, unreadable or without a single good image.
    """
    _check(size, channels, test_fraction)
    name = str(source)
    report = progress or (lambda done, total: None)
    with ExitStack() as stack:
        found = find(name, stack)
        if isinstance(found, Listing):
            pixels, tags, skipped = _decode_all(found, name, size, channels, report)
        else:
            pixels, tags, skipped = (*_conform_all(found, name, size, channels, report), ())
    train, test = _divide(pixels, tags, test_fraction)
    if not len(train) or (not len(test) and any(tag.test is not None for tag in tags)):
        raise AimganError(f"all images of one split of {name!r} are broken: {_first(skipped)}")
    return ImageData(train, test, skipped, name)


def _check(size: int | None, channels: int | None, test_fraction: float) -> None:
    if size is not None and not 1 <= size <= MAX_SIZE:
        raise AimganError(f"got size {size}, expected at least 1 pixel" + f" and at most {MAX_SIZE:,}" * (size > 1))
    if channels not in (None, 1, 3):
        raise AimganError(f"got {channels} channels, expected 1 (grey) or 3 (RGB)")
    if not 0 <= test_fraction < 1:
        raise AimganError(f"got a test fraction of {test_fraction}, expected one from 0 to below 1")


def _decode_all(
    listing: Listing, source: str, size: int | None, channels: int | None, progress: Progress
) -> tuple[UInt8[np.ndarray, "n c h w"], list[Tag], tuple[Skipped, ...]]:
    """Decode in order, a chunk at a time, straight into one array; the broken ones leave no gap in it."""
    pixels = np.empty((0, 0, 0, 0), np.uint8)
    tags: list[Tag] = []
    broken: list[Skipped] = []
    items = iter(listing.items)
    progress(0, listing.total)
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        # One by one until the first good image has set the size and the number of channels.
        while chunk := list(islice(items, CHUNK if tags else 1)):
            kept = pixels.shape[2:] if tags else None
            attempt = partial(_attempt_all, size=size, channels=channels, kept=kept)
            openers = [opener for _, opener in chunk]
            results = [*chain(*pool.map(attempt, [openers[i : i + GROUP] for i in range(0, len(openers), GROUP)]))]
            sizes = [result for result in results if isinstance(result, tuple)]
            if sizes:
                raise _mixed(source, [*([kept] if kept else []), *sizes])
            for (tag, _), result in zip(chunk, results, strict=True):
                if isinstance(result, np.ndarray):
                    pixels = _room(pixels, len(tags), result.shape, listing.total)
                    pixels[len(tags)] = result
                    tags.append(tag)
                else:
                    broken.append(Skipped(tag.name, str(result)))
            progress(len(tags) + len(broken), listing.total)
    if not tags:
        raise _nothing(source, broken, listing)
    return pixels[: len(tags)], tags, (*broken, *listing.skipped)


def _attempt_all(
    openers: list[Opener], size: int | None, channels: int | None, kept: tuple[int, int] | None
) -> list[UInt8[np.ndarray, "_ _ _"] | tuple[int, int] | str]:
    return [_attempt(opener, size, channels, kept) for opener in openers]


def _attempt(
    opener: Opener, size: int | None, channels: int | None, kept: tuple[int, int] | None
) -> UInt8[np.ndarray, "c h w"] | tuple[int, int] | str:
    """Return the pixels; or why there are none; or their height and width, where `size` is None and they do not fit."""
    try:
        pixels = decode(opener, size, channels)
    except UndecodableError as error:
        return str(error)
    h, w = pixels.shape[1:]
    fits = size is not None or (h == w and kept in (None, (h, w)))
    return pixels if fits else (h, w)


def _room(pixels: np.ndarray, count: int, shape: tuple[int, ...], total: int) -> np.ndarray:
    """Return an array with room for `total` images of this shape, `count` of them moved there if they were grey."""
    if count >= total:
        raise AimganError(f"there are more images than the {total:,} that the source says it has")
    if count and pixels.shape[1] >= shape[0]:
        return pixels
    require_memory(total * math.prod(shape), f"{total:,} images of {shape}", "pass a smaller --size, or take stream/*")
    room = np.empty((total, *shape), np.uint8)
    if count:
        room[:count] = pixels[:count]
    return room


def _conform_all(
    blocks: list[Block], source: str, size: int | None, channels: int | None, progress: Progress
) -> tuple[UInt8[np.ndarray, "n c h w"], list[Tag]]:
    sizes = [block.pixels.shape[2:] for block in blocks]
    if size is None and (len(set(sizes)) > 1 or sizes[0][0] != sizes[0][1]):
        raise _mixed(source, sizes)
    c = channels or max(block.pixels.shape[1] for block in blocks)
    n, side = sum(len(block.pixels) for block in blocks), size or sizes[0][0]
    require_memory(n * c * side * side, f"{n:,} images of {(c, side, side)}", "pass a smaller --size, or take stream/*")
    parts = [conform(block.pixels, size or sizes[0][0], c, progress) for block in blocks]
    number = count()  # goes on from one block to the next, so that a name names one image
    tags = [
        Tag(f"image {next(number)}", None if block.labels is None else int(block.labels[i]), block.test)
        for block in blocks
        for i in range(len(block.pixels))
    ]
    progress(len(tags), len(tags))
    return parts[0] if len(parts) == 1 else np.concatenate(parts), tags


def _divide(pixels: UInt8[np.ndarray, "n c h w"], tags: list[Tag], test_fraction: float) -> tuple[Split, Split]:
    """Part the images into train, which stays in the memory of `pixels`, and test, in the order they are in."""
    is_test = _is_test(tags, test_fraction)
    test = pixels[is_test]
    train_rows = np.flatnonzero(~is_test)
    for to, row in enumerate(train_rows):
        if to != row:
            pixels[to] = pixels[row]
    train_tags = [tags[row] for row in train_rows]
    test_tags = [tags[row] for row in np.flatnonzero(is_test)]
    return _split(pixels[: len(train_rows)], train_tags), _split(test, test_tags)


def _split(pixels: UInt8[np.ndarray, "n c h w"], tags: list[Tag]) -> Split:
    return Split(torch.from_numpy(pixels), _labels(tags), tuple(tag.name for tag in tags))


def _is_test(tags: list[Tag], test_fraction: float) -> Bool[np.ndarray, " n"]:
    if all(tag.test is not None for tag in tags):
        return np.array([tag.test for tag in tags], bool)
    return held_out(np.array([hashed(tag.name) for tag in tags]), test_fraction)


def _labels(tags: list[Tag]) -> Int64[Tensor, " n"] | None:
    labels = [tag.label for tag in tags if tag.label is not None]
    return torch.tensor(labels, dtype=torch.int64) if len(labels) == len(tags) else None


def _mixed(source: str, sizes: Sequence[tuple[int, ...]]) -> AimganError:
    seen = [f"{w}x{h}" for w, h in sorted({(w, h) for h, w in sizes})]
    listed = ", ".join(seen[:5]) + (", ..." if len(seen) > 5 else "")
    return AimganError(f"{source!r} has images of {listed}; expected one square size: pass --size, such as --size 64")


def _nothing(source: str, broken: list[Skipped], listing: Listing) -> AimganError:
    if not broken:
        return AimganError(f"no images in {source!r}; expected files such as .jpg or .png, or .npz, .parquet")
    return AimganError(f"all {len(broken):,} images in {source!r} are broken: {_first(broken)}")


def _first(broken: Sequence[Skipped]) -> str:
    return f"the first, {broken[0].name!r}: {broken[0].reason}"
