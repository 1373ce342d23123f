"""Small data sets in every format that can be streamed, all of the same images."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def pictures(n: int, side: int = 8, seed: int = 0) -> np.ndarray:
    """Grey noise (n, side, side), image k beginning with k, so that it can be told by its first pixel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (n, side, side), np.uint8)
    pixels[:, 0, 0] = np.arange(n) % 256
    return pixels


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, files: dict[str, bytes], kind: int = tarfile.USTAR_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_shards(folder: Path, images: np.ndarray, per_shard: int = 20, name: str = "train") -> Path:
    for first in range(0, len(images), per_shard):
        files = {}
        for k in range(first, min(first + per_shard, len(images))):
            files |= {f"{k:06d}.png": png(images[k]), f"{k:06d}.cls": b"%d" % (k % 10)}
        write_tar(folder / f"{name}-{first // per_shard:05d}.tar", files)
    return folder


def write_tables(folder: Path, images: np.ndarray, per_file: int = 30, rows: int = 7, name: str = "train") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for first in range(0, len(images), per_file):
        part = images[first : first + per_file]
        column = pa.array([{"bytes": png(image), "path": None} for image in part], kind)
        table = pa.table({"image": column, "label": np.arange(first, first + len(part)) % 10})
        pq.write_table(table, folder / f"{name}-{first // per_file:05d}.parquet", row_group_size=rows)
    return folder


def write_files(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k, image in enumerate(images):
        (folder / f"{k:04d}.png").write_bytes(png(image))
    return folder


def write_array(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images)
    return folder / "images.npy"
