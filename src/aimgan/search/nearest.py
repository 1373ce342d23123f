"""The nearest codes: by comparing all of them, or by faiss, which above FLAT codes looks only where it is worth it."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Float32, Int64

from aimgan.checked import regular
from aimgan.errors import AimganError

FILE = "index.faiss"
FLAT = 100_000  # codes: up to here all are compared, which is exact
BLOCK = 50_000  # of them at a time
RECALL = 0.98  # the share of the ten nearest that an inverted file must find
QUERIES = 200  # that measure it
LISTS, CENTRES = 37, 53  # bytes of faiss's format: where the number of lists is, and where their centres begin

Codes = Float32[np.ndarray, "n d"]
Found = tuple[Float32[np.ndarray, "q k"], Int64[np.ndarray, "q k"]]  # distances, and rows; inf and -1: no more found
Searcher = Callable[[Float32[np.ndarray, "q d"], int], Found]


def faiss() -> Any:
    """Return the module faiss, or None where it is not installed."""
    try:
        import faiss as module
    except ImportError:
        return None
    return module


def write(folder: Path, codes: Codes) -> dict[str, Any]:
    """Write faiss's index of these codes, where it is installed, and return what it is.

    Up to FLAT codes it compares all. Above it is an inverted file: the codes in lists around 2 sqrt(n) centres of
    k-means, of which those nearest to a query are read, as many as RECALL needs: measured, and part of the answer.
    (HNSW finds more a millisecond, but its graph depends on how threads take turns: two builds would differ.)
    """
    if (module := faiss()) is None:
        return {"kind": "exact"}
    lists = round(2 * sqrt(len(codes)))
    index = module.index_factory(codes.shape[1], "Flat" if len(codes) <= FLAT else f"IVF{lists},Flat")
    index.train(np.asarray(codes))
    for start in range(0, len(codes), BLOCK):
        index.add(np.asarray(codes[start : start + BLOCK]))
    about = {"kind": "flat"} if len(codes) <= FLAT else {"kind": "inverted file", "lists": lists, **tuned(index, codes)}
    module.write_index(index, str(folder / FILE))
    return about


def tuned(index: Any, codes: Codes) -> dict[str, Any]:
    """Let an inverted file read twice as many lists until it finds RECALL of the ten nearest of QUERIES codes."""
    rows = np.linspace(0, len(codes) - 1, QUERIES).astype(np.int64)
    z = np.asarray(codes[rows])
    truth = _others(rows, exact(codes, z, 11)[1])
    index.nprobe, recall = 1, 0.0
    while True:
        found = _others(rows, index.search(z, 11)[1])
        recall = float(np.mean([len(a & b) / 10 for a, b in zip(truth, found, strict=True)]))
        if recall >= RECALL or index.nprobe >= index.nlist:
            return {"lists_read": index.nprobe, "recall_at_10": recall}
        index.nprobe = min(2 * index.nprobe, index.nlist)


def _others(rows: Int64[np.ndarray, " q"], found: Int64[np.ndarray, "q k"]) -> list[set[int]]:
    """Leave out of each answer the code that asked, which is always found."""
    return [set([other for other in near if other != row][:10]) for row, near in zip(rows, found.tolist(), strict=True)]


def searcher(folder: Path, codes: Codes) -> Searcher:
    """Return what finds the k nearest of these codes: faiss if the index has been written by it, else all compared.

    Raises AimganError for more than FLAT codes without faiss.
    """
    module, file = faiss(), folder / FILE
    if module is not None and file.exists():
        index = _read(module, file, codes)
        return lambda z, k: _ranked(codes, z, _inside(file, index.search(z, k)[1], len(codes)))
    if len(codes) > FLAT:
        fix = "pip install 'aimgan[search]', and build the index again"
        raise AimganError(f"{folder} has {len(codes):,} codes; expected at most {FLAT:,} without faiss: {fix}")
    return lambda z, k: exact(codes, z, k)


def _read(module: Any, file: Path, codes: Codes) -> Any:
    """Read what `write` wrote of these codes. Raises ValueError, OSError or faiss's RuntimeError for another file."""
    size = regular(file).stat().st_size
    with file.open("rb") as opened:
        _require_own(opened, codes.shape[1])
    if hasattr(module, "set_deserialization_vector_byte_limit"):  # else it takes what the file promises
        module.set_deserialization_vector_byte_limit(size)
    index = module.read_index(str(file))
    if (index.d, index.ntotal) != codes.shape[::-1]:
        raise ValueError(f"{file.name} is of {index.ntotal:,} codes of {index.d} dimensions, expected {codes.shape}")
    return index


def _require_own(file: BinaryIO, dim: int) -> None:
    """Raise ValueError for kinds of index that `write` does not make: some of them open files that they name."""
    kind, lists = file.read(LISTS).ljust(LISTS, b"\0")[:4], int.from_bytes(file.read(8), "little")
    parts = {0: kind}
    if kind == b"IwFl":  # its centres, compared by L2; then the lists, which lie in the file itself
        for place in (CENTRES, CENTRES + LISTS + 8 + 4 * lists * dim + 9):
            file.seek(min(place, 2**62))
            parts[place] = file.read(4)
    if [*parts.values()] not in ([b"IxF2"], [b"IwFl", b"IxF2", b"ilar"]):
        raise ValueError(f"{FILE} is of another kind")


def _inside(file: Path, rows: Int64[np.ndarray, "q k"], count: int) -> Int64[np.ndarray, "q k"]:
    if rows.max(initial=-1) >= count:
        raise AimganError(f"{file} names rows that are not there: remove its folder and build the index again")
    return rows


def exact(codes: Codes, z: Float32[np.ndarray, "q d"], k: int) -> Found:
    """Return the k nearest codes of each z, all of them compared, BLOCK in memory at a time."""
    near, rows = torch.empty(len(z), 0), torch.empty(len(z), 0, dtype=torch.int64)
    for start in range(0, len(codes), BLOCK):
        block = torch.from_numpy(np.array(codes[start : start + BLOCK]))
        # Differences, not |a|^2 + |b|^2 - 2 ab: near codes would lose what sets them apart.
        distances = torch.cdist(torch.from_numpy(z), block, compute_mode="donot_use_mm_for_euclid_dist")
        near = torch.cat((near, distances), dim=1)
        rows = torch.cat((rows, torch.arange(start, start + len(block)).expand(len(z), -1)), dim=1)
        near, at = near.topk(min(k, near.shape[1]), largest=False)
        rows = rows.gather(1, at)
    return _ranked(codes, z, rows.numpy())


def _ranked(codes: Codes, z: Float32[np.ndarray, "q d"], rows: Int64[np.ndarray, "q k"]) -> Found:
    """Return distances, nearest first, equals by row; computed here, so that they do not depend on who found them."""
    difference = codes[rows.clip(min=0)].astype(np.float64) - z[:, None]
    distances = np.where(rows < 0, np.inf, np.linalg.norm(difference, axis=2)).astype(np.float32)
    order = np.lexsort((rows, distances), axis=1)
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)
