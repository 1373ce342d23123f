"""WebDataset-style shards: tar files in which KEY.jpg (or .png, ...) is an image, and KEY.cls beside it its class.

Files of one key follow each other; the key is a file's name up to the first dot after its last slash, and its first
image is the one that counts. An index holds where each image is, so that any of them is one read at a known place. The
headers are read here rather than by `tarfile`, which takes ten times as long and trusts the sizes in them.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int8, Int32, Int64

from aimgan.data.decoder import Extent, Stamp
from aimgan.data.images import Progress
from aimgan.data.names import TEST_NAMES, hashed
from aimgan.data.sources import is_image
from aimgan.data.streaming.index import Arrays, indexed
from aimgan.data.streaming.source import extent, gone, neighbours, stamp
from aimgan.errors import AimganError

BLOCK = 512
LONGEST = 2**16  # bytes of an extended header: names, not data
DTYPES = {"counts": "int64", "offsets": "int64", "lengths": "int64", "labels": "int32", "hashes": "float64"}
WORD = re.compile(rf"(?<![a-z])(train|{'|'.join(TEST_NAMES)})(?![a-z])")


class Member(NamedTuple):
    """A regular file of a tar: its name, and where its bytes are."""

    name: str
    offset: int
    length: int


@dataclass(frozen=True, eq=False)
class Tars:
    """The images of tar shards; those named test or val (or validation) are the test split, if others are not."""

    shards: tuple[Stamp, ...]
    shard_ends: Int64[np.ndarray, " shards"]
    ends: Int64[np.ndarray, " groups"]
    test: Int8[np.ndarray, " n"]
    offsets: Int64[np.ndarray, " n"]
    lengths: Int64[np.ndarray, " n"]
    labels: Int32[np.ndarray, " n"]
    hashes: Float64[np.ndarray, " n"]

    @property
    def stored(self) -> Int64[np.ndarray, " groups"]:
        """Nothing: images are read one by one."""
        return np.zeros_like(self.ends)

    def group(self, number: int) -> Tars:
        """Return the source itself, which reads one image at a time."""
        return self

    def content(self, image: int) -> Extent:
        """Return where an image's file is. Raises UndecodableError for an empty one, or one that is too large."""
        return extent(self._shard(image), int(self.offsets[image]), int(self.lengths[image]))

    def label(self, image: int) -> int | None:
        """Return what its .cls says."""
        return int(self.labels[image]) if self.labels[image] >= 0 else None

    def name(self, image: int) -> str:
        """Return its shard, and the byte where it begins there."""
        return f"{Path(self._shard(image).path).name} at byte {self.offsets[image]:,}"

    def _shard(self, image: int) -> Stamp:
        return self.shards[int(np.searchsorted(self.shard_ends, image, "right"))]


def tars(paths: list[Path], progress: Progress) -> Tars:
    """Index shards. Raises AimganError for one that is damaged, compressed, or not a tar."""
    shards = tuple(stamp(path) for path in paths)
    arrays = indexed("tar", shards, DTYPES, lambda: _index(shards, progress))
    counts = arrays.pop("counts")
    return Tars(shards, np.cumsum(counts), neighbours(counts.tolist()), _test(paths, counts), **arrays)


def _test(paths: list[Path], counts: Int64[np.ndarray, " shards"]) -> Int8[np.ndarray, " n"]:
    words = [match[1] if (match := WORD.search(path.name.lower())) else "" for path in paths]
    held_out = np.array([word in TEST_NAMES for word in words])
    mixed = held_out.any() and not held_out.all()
    return np.repeat(held_out.astype(np.int8) if mixed else np.full(len(paths), -1, np.int8), counts)


def _index(shards: tuple[Stamp, ...], progress: Progress) -> Arrays:
    columns: dict[str, array[Any]] = {
        "offsets": array("q"),
        "lengths": array("q"),
        "labels": array("i"),
        "hashes": array("d"),
    }
    counts = np.zeros(len(shards), np.int64)
    for k, shard in enumerate(shards):
        progress(k, len(shards))
        before = len(columns["offsets"])
        for member, label in _samples(shard):
            for column, value in zip(columns.values(), (*member[1:], label, hashed(member.name)), strict=True):
                column.append(value)
        counts[k] = len(columns["offsets"]) - before
    return {"counts": counts} | {name: np.array(column, DTYPES[name]) for name, column in columns.items()}


def _samples(shard: Stamp) -> Iterator[tuple[Member, int]]:
    """Yield each image of a shard and its class, -1 where it has none."""
    try:
        descriptor = os.open(shard.path, os.O_RDONLY)
    except OSError as error:
        raise gone(shard.path, str(error.strerror)) from error
    try:
        key, image, label = None, None, -1
        for member in members_of(descriptor, shard):
            folder, _, file = member.name.rpartition("/")
            own, _, extension = file.partition(".")
            if (folder, own) != key:
                if image:
                    yield image, label
                key, image, label = (folder, own), None, -1
            if extension.lower() == "cls":
                label = _class(os.pread(descriptor, min(member.length, 20), member.offset))
            elif image is None and is_image(member.name):
                image = member
        if image:
            yield image, label
    finally:
        os.close(descriptor)


def _class(text: bytes) -> int:
    number = text.strip()
    return int(number) if number.isdigit() and len(number) < 10 else -1


def members_of(descriptor: int, shard: Stamp) -> Iterator[Member]:
    """Yield the regular files of a tar. Raises AimganError where a header is damaged or the end is missing."""
    offset, said = 0, dict[str, str]()  # what an extended header says of the file after it
    while len(header := os.pread(descriptor, BLOCK, offset)) == BLOCK and any(header):
        length, begins = _length(header, shard, offset), offset + BLOCK
        kind = header[156:157]
        if kind in b"xL":
            text = _extended(descriptor, shard, begins, length)
            said |= _records(text) if kind == b"x" else {"path": text.rstrip(b"\0").decode("utf-8", "surrogateescape")}
        elif kind not in b"gK":
            length = 0 if kind in b"123456" else _number(said.get("size", ""), length)  # links, folders, devices
            if kind in (b"0", b"\0", b"7"):
                yield Member(said.get("path") or _name(header), begins, length)
            said = {}
        offset = begins + -(-length // BLOCK) * BLOCK
        if begins + length > shard.size:
            raise _damaged(shard, f"it ends at {shard.size:,}, before a file that begins at {begins:,} does")
    if len(header) < BLOCK or offset == 0:  # a whole tar ends with blocks of zeros
        raise _damaged(shard, f"it is cut off at {shard.size:,}" if offset else "it is no tar, or an empty one")


def _length(header: bytes, shard: Stamp, offset: int) -> int:
    """Return the size of the file after this header, whose checksum must be right."""
    try:
        summed = sum(header) - sum(header[148:156]) + 8 * ord(" ")
        if int(header[148:156].strip(b" \0"), 8) != summed:
            raise ValueError
        if header[124] == 0x80:  # GNU: binary, for 8 GiB and more
            return int.from_bytes(header[125:136], "big")
        length = int(header[124:136].strip(b" \0") or b"0", 8)
    except ValueError:
        length = -1
    if length < 0:
        told = "; compressed shards must be unpacked first (gunzip)" if offset == 0 else ""
        raise _damaged(shard, f"there is no tar header at byte {offset:,}{told}") from None
    return length


def _name(header: bytes) -> str:
    name, prefix = (field.split(b"\0", 1)[0] for field in (header[:100], header[345:500]))
    whole = prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name
    return whole.decode("utf-8", "surrogateescape")


def _extended(descriptor: int, shard: Stamp, offset: int, length: int) -> bytes:
    if length > LONGEST:
        raise _damaged(shard, f"the extended header at byte {offset:,} is of {length:,} bytes, over {LONGEST:,}")
    return os.pread(descriptor, length, offset)


def _records(text: bytes) -> dict[str, str]:
    """Read `path` and `size` of a pax header: "LENGTH path=VALUE\\n" and so on, one after the other."""
    found = {}
    while match := re.match(rb"(\d{1,6}) ", text):
        record, text = text[match.end() : int(match[1])], text[max(int(match[1]), match.end()) :]
        name, _, value = record.rstrip(b"\n").partition(b"=")
        if name in (b"path", b"size"):
            found[name.decode()] = value.decode("utf-8", "surrogateescape")
    return found


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else otherwise


def _damaged(shard: Stamp, reason: str) -> AimganError:
    return AimganError(f"cannot read {shard.path!r} as a tar shard: {reason}; make or copy that shard again")
