"""Files that a stranger might hand over: whole ones to be damaged, and bombs that are whole."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from aimgan.model import LatentVariableModel, ModelConfig

SMALL = {"width": 4, "shape": [1, 8, 8], "dim": 2}
CONFIG = ModelConfig("mlp", SMALL, "aim", "gaussian", True, {"recipe": "digits/aim"})
POINTS = ModelConfig("mlp", {"width": 4}, "aim", "gaussian", True)
DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "9" * 5_000  # more digits than Python turns into an int


def words(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


class Evil:
    """What its pickle does when it is read: leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def model(config: ModelConfig = CONFIG) -> LatentVariableModel:
    torch.manual_seed(0)
    return LatentVariableModel.build(config)


def picture(kind: str = "PNG", mode: str = "RGB", side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert(mode).save(out, kind)
    return out.getvalue()


PICTURES = [
    *(picture(kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")),
    picture("PNG", "LA"), picture("PNG", "I;16"), picture("TIFF", "F"), picture("PNG", "P"), picture("PNG", "1"),
]  # fmt: skip


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npy_header(shape: object, descr: object = "|u1", content: bytes = b"", version: int = 1) -> bytes:
    """Return a .npy whose header says what it likes."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode("latin1", "replace")
    version = 2 if len(text) >= 2**16 else version
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + content


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def tar_member(name: bytes, content: bytes = b"", kind: bytes = b"0", size: int | None = None) -> bytes:
    """Return a member of a tar whose header says of its kind and its size what it likes."""
    size = len(content) if size is None else size
    header = bytearray(name[:100].ljust(100, b"\0") + b"0000644\0" * 3 + bytes(24) + b" " * 8 + kind).ljust(512, b"\0")
    header[124:136] = b"%011o\0" % size if 0 <= size < 8**11 else _base_256(size)
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512)


def _base_256(size: int) -> bytes:
    return bytes((0o377 if size < 0 else 0o200,)) + (size % 2**88).to_bytes(11, "big")


def png_of(width: int, height: int, packed: bytes = b"") -> bytes:
    """Return a grey .png that claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed or zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def bomb(side: int) -> bytes:
    """Return a black .png of that side: a thousandth of what it becomes."""
    packer = zlib.compressobj(9)
    rows = b"".join([*(packer.compress(bytes(side + 1)) for _ in range(side)), packer.flush()])
    return png_of(side, side, rows)


def safetensors(header: object, content: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def weights(config: ModelConfig = CONFIG) -> bytes:
    return save(model(config).state_dict())


def parquet(**columns: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def tables() -> list[bytes]:
    import pyarrow as pa

    images = [{"bytes": picture(), "path": None}] * 3
    return [
        parquet(image=images, label=[0, 1, 2]),
        parquet(img=[picture()] * 2, label=pa.array([2**64 - 1, 1], pa.uint64())),
        parquet(image=[1, 2]),
        parquet(image=[{"path": "/etc/passwd"}], label=["a"]),
    ]


ARRAYS = [
    npy(np.zeros((3, 8, 8), np.uint8)), npy(np.zeros((2, 2))), npy(np.ones((3, 8, 8, 3), np.float16)),
    npy_header((10**12,)), npy_header((3, 8, 8), "|V0"), npy_header((-1, 8, 8)),
    npy_header((2, 8, 8), "<f8", bytes(1024), 2),
]  # fmt: skip
ARCHIVES = [
    npz(images=np.zeros((3, 8, 8), np.uint8), labels=np.arange(3)),
    npz(x_train=np.zeros((3, 8, 8), np.uint8), x_test=np.zeros((2, 8, 8), np.uint8)),
    npz(points=np.zeros((3, 2))),
    zipped({"images": b"no array", "a.npy": npy(np.zeros((2, 8, 8), np.uint8))}),
    zipped({"a.npy": npy_header((10**12,)), "b.npy": b""}),
]
TARS = [
    tarred(("a.png", picture()), ("a.cls", b"3"), ("b.jpg", picture("JPEG")), ("c.png", b"")),
    tarred(("../../" + "x" * 200 + ".png", picture()), ("/etc/passwd.png", picture())),
    tar_member(b"long", b"train/a/" + b"y" * 200 + b".png\0", b"L") + tar_member(b"y", picture()) + bytes(1024),
]
ZIPS = [
    zipped({"train/a/1.png": picture(), "train/b/2.png": picture(), "test/a/3.png": picture("JPEG")}),
    zipped(
        {"../../up.png": picture(), "/etc/absolute.png": picture(), "C:\\x.png": b"", "a\nb\x1b[31m.png": picture()}
    ),
]
