"""Small collections of images, the same ones in every layout that can be read."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from aimgan.data.images import ImageData, Split

Tree = Mapping[str, bytes]  # what files hold, by their names


def pictures(n: int, side: int = 8, seed: int = 0) -> np.ndarray:
    """Grey noise (n, side, side), image k beginning with k, so that it can be told by its first pixel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (n, side, side), np.uint8)
    pixels[:, 0, 0] = np.arange(n) % 256
    return pixels


def png(pixels: np.ndarray | int) -> bytes:
    """A PNG of these pixels, or of 4 x 4 that are all the same."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), pixels, np.uint8) if isinstance(pixels, int) else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tree(*folders: str, count: int = 4) -> dict[str, bytes]:
    """So many images in each folder."""
    images = pictures(count * len(folders))
    names = [f"{folder}/{k:03d}.png" if folder else f"{k:03d}.png" for folder in folders for k in range(count)]
    return {name: png(image) for name, image in zip(names, images, strict=True)}


def write_folder(path: Path, files: Tree) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path: Path, files: Tree, separator: str = "/") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("/", separator)), content)
    return path


def write_tar(path: Path, files: Tree, kind: int = tarfile.USTAR_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_shards(folder: Path, images: np.ndarray, per_shard: int = 20, name: str = "train") -> Path:
    """Write images as WebDataset has them: KEY.png and KEY.cls, which is the last digit of their number."""
    for first in range(0, len(images), per_shard):
        files = {}
        for k in range(first, min(first + per_shard, len(images))):
            files |= {f"{k:06d}.png": png(images[k]), f"{k:06d}.cls": b"%d" % (k % 10)}
        write_tar(folder / f"{name}-{first // per_shard:05d}.tar", files)
    return folder


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_table(path: Path, files: Tree, rows: int = 7, image: str = "image", **columns: Sequence) -> Path:
    """Write a parquet file of images, as the Hub has them, with other columns beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    column = pa.array([{"bytes": content, "path": name} for name, content in files.items()], IMAGE)
    pq.write_table(pa.table({image: column, **columns}), path, row_group_size=rows)
    return path


def write_tables(folder: Path, images: np.ndarray, per_file: int = 30, rows: int = 7, name: str = "train") -> Path:
    """Write images to several parquet files, labelled with the last digit of their number."""
    for first in range(0, len(images), per_file):
        part = {str(k): png(images[k]) for k in range(first, min(first + per_file, len(images)))}
        labels = [int(k) % 10 for k in part]
        write_table(folder / f"{name}-{first // per_file:05d}.parquet", part, rows, label=labels)
    return folder


def firsts(split: Split) -> list[int]:
    """Which of `pictures`, or what grey, a split's images are."""
    return split.pixels[:, 0, 0, 0].tolist()


def labelled(split: Split, classes: Sequence[str] = ()) -> dict[int, int | str]:
    """The label of each image of a split (by its first pixel), or its class's name."""
    assert split.labels is not None
    names = [classes[label] if classes else label for label in split.labels.tolist()]
    return dict(zip(firsts(split), names, strict=True))


def content(data: ImageData) -> tuple:
    """All that is read of a collection, but for names, in an order of its own."""
    parts = []
    for split in (data.train, data.test):
        labels = [""] * len(split) if split.labels is None else split.labels.tolist()
        parts.append(sorted(zip([image.numpy().tobytes() for image in split.pixels], labels, strict=True)))
    return (*parts, data.by, data.classes)
