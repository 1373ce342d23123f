"""A folder of image files, and images stored as one array: read one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int8, Int32, Int64

from aimgan.data.arrays import array_pixels
from aimgan.data.decode import UndecodableError
from aimgan.data.decoder import Stamp
from aimgan.data.names import hashed, layout
from aimgan.data.sources import first_line, regular_file, walked
from aimgan.data.streaming.source import extent, gone, neighbours, read_at, stamp
from aimgan.errors import AimganError


@dataclass(frozen=True, eq=False)
class Files:
    """A folder of image files; splits and classes are its folders, as data/images.py has them."""

    root: Path
    text: bytes  # all names after each other: a string for each would take three times the memory
    name_ends: Int64[np.ndarray, " n"]
    test: Int8[np.ndarray, " n"]
    labels: Int32[np.ndarray, " n"]
    hashes: Float64[np.ndarray, " n"]
    ends: Int64[np.ndarray, " groups"]

    @property
    def stored(self) -> Int64[np.ndarray, " groups"]:
        """Nothing: images are read one by one."""
        return np.zeros_like(self.ends)

    def group(self, number: int) -> Files:
        """Return the source itself, which reads one image at a time."""
        return self

    def content(self, image: int) -> Path:
        """Return the path of an image. Raises UndecodableError for a pipe, AimganError for a file that is gone."""
        path = self.root / self.name(image)
        try:
            path.stat()
        except OSError as error:
            raise gone(str(path), str(error.strerror)) from error
        return regular_file(path)

    def label(self, image: int) -> int | None:
        """Return the number of its folder, where folders are classes."""
        return int(self.labels[image]) if self.labels[image] >= 0 else None

    def name(self, image: int) -> str:
        """Return its path in the folder."""
        begin = int(self.name_ends[image - 1]) if image else 0
        return self.text[begin : int(self.name_ends[image])].decode("utf-8", "surrogateescape")


def files(root: Path) -> Files:
    """List a folder of images."""
    tags, _ = layout(walked(root, lambda error: None))
    names = [tag.name.encode("utf-8", "surrogateescape") for tag in tags]
    return Files(
        root=root,
        text=b"".join(names),
        name_ends=np.cumsum([len(name) for name in names], dtype=np.int64),
        test=np.array([-1 if tag.test is None else tag.test for tag in tags], np.int8),
        labels=np.array([-1 if tag.label is None else tag.label for tag in tags], np.int32),
        hashes=np.array([hashed(tag.name) for tag in tags], np.float64),
        ends=neighbours([len(tags)]),
    )


@dataclass(frozen=True, eq=False)
class Stored:
    """The images of a .npy, read at their places: pages of a memory map would count as this process's memory."""

    file: Stamp
    offset: int
    shape: tuple[int, ...]  # of all images
    dtype: np.dtype
    hashes: Float64[np.ndarray, " n"]
    ends: Int64[np.ndarray, " groups"] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", neighbours([self.shape[0]]))

    @property
    def stored(self) -> Int64[np.ndarray, " groups"]:
        """Nothing: images are read one by one."""
        return np.zeros_like(self.ends)

    @property
    def test(self) -> Int8[np.ndarray, " n"]:
        """Hashes decide."""
        return np.full(self.shape[0], -1, np.int8)

    def group(self, number: int) -> Stored:
        """Return the source itself, which reads one image at a time."""
        return self

    def content(self, image: int) -> np.ndarray:
        """Read an image as stored. Raises UndecodableError, or AimganError if the file is gone."""
        length = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        content = read_at(*extent(self.file, self.offset + image * length, length))
        if len(content) != length:
            raise UndecodableError("the file ends before it does")
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])

    def label(self, image: int) -> None:
        """Return None: there are none."""

    def name(self, image: int) -> str:
        """Return its number, as data/images.py does."""
        return f"image {image}"


def stored(path: Path) -> Stored:
    """Open a .npy of images. Raises AimganError for one that cannot be read image by image."""
    file = stamp(path)
    try:
        with np.errstate(over="ignore"):  # a shape beyond 64 bits
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy's reader of headers raises nearly anything at a damaged one
        refused = f"cannot read {str(path)!r} as a plain array (pickled ones are refused)"
        raise AimganError(f"{refused}: {first_line(error)}") from error
    if not isinstance(array, np.memmap) or not array.flags.c_contiguous:
        raise AimganError(f"{str(path)!r} is not stored image by image; save np.ascontiguousarray(images) as .npy")
    array_pixels(array[:1] if array.ndim else array, str(path))  # raises where these are no images
    hashes = np.array([hashed(f"image {k}") for k in range(len(array))])
    return Stored(file, array.offset, array.shape, array.dtype, hashes)
