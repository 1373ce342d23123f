"""The images of any source, in its order, each as a file that can be opened: also those of a tar and of an array."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from aimgan.data.decode import FORMATS, Opener, UndecodableError, decode, quiet
from aimgan.data.sources import MAX_MEMBER, Block, Listing, Tag, blob, find, is_image
from aimgan.data.streaming.source import stamp
from aimgan.data.streaming.tars import members_of
from aimgan.errors import AimganError

THUMBNAIL = 128  # pixels to a side, at most

Pixels = UInt8[np.ndarray, "_ _ _"]  # (c, h, w) of its own


def listing(source: str, stack: ExitStack) -> Listing:
    """Return the images of a folder, a zip, a tar, arrays, parquet or a Hub id. `stack` closes what was opened.

    Raises AimganError for a source that is missing or unreadable. Arrays are held in memory whole, nothing else is.
    """
    path = os.path.expanduser(source)
    if path.lower().endswith(".tar") and os.path.isfile(path):
        return _tar(Path(path), stack)
    found = find(source, stack)
    return found if isinstance(found, Listing) else _as_files(found)


def thumbnails(source: str, names: Collection[str]) -> dict[str, Pixels]:
    """Return the central squares of these images, small; those that are no longer there or readable are left out."""
    found: dict[str, Pixels] = {}
    with ExitStack() as stack, quiet():
        try:
            items = listing(source, stack).items
        except AimganError:
            return found
        for name, opener in ((tag.name, opener) for tag, opener in items if tag.name in names):
            try:
                found[name] = decode(opener, _side(opener))
            except UndecodableError:
                continue
            if len(found) == len(names):
                break
    return found


def _side(opener: Opener) -> int:
    try:
        with Image.open(opener(), formats=FORMATS) as image:
            return min(THUMBNAIL, *image.size)
    except Exception as error:  # as in decode: Pillow's readers raise nearly anything
        raise UndecodableError(str(error)) from error


def _tar(path: Path, stack: ExitStack) -> Listing:
    """List a tar's images, which are read at their places one at a time, and never written anywhere."""
    shard = stamp(path)
    file = stack.enter_context(path.open("rb"))
    members = [member for member in members_of(file.fileno(), shard) if is_image(member.name)]
    return Listing(len(members), ((Tag(name), partial(_member, file.fileno(), *at)) for name, *at in members))


def _member(descriptor: int, offset: int, size: int) -> BytesIO:
    if size > MAX_MEMBER:
        raise UndecodableError(f"{size:,} bytes, over {MAX_MEMBER:,}")
    return blob(os.pread(descriptor, size, offset))


def _as_files(blocks: list[Block]) -> Listing:
    """List the images of arrays, named as `load_images` names them."""
    number = count()

    def items() -> Iterator[tuple[Tag, Opener]]:
        for block in blocks:
            for row in block.pixels:
                yield Tag(f"image {next(number)}"), partial(_netpbm, row)

    return Listing(sum(len(block.pixels) for block in blocks), items())


def _netpbm(pixels: UInt8[np.ndarray, "c h w"]) -> BytesIO:
    """Return pixels as a file of the simplest format: a line, then the bytes."""
    c, h, w = pixels.shape
    return BytesIO(f"P{5 if c == 1 else 6} {w} {h} 255\n".encode() + pixels.transpose(1, 2, 0).tobytes())
