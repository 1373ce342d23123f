"""The nearest codes, found by comparing all of them: a million of 64 numbers take a fifth of a second on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32, Int64

BLOCK = 50_000  # codes in memory at a time
TOGETHER = 100  # codes that are searched for at a time
SPARE = 16  # more than are asked for: some that are near to the last may be in another order in single precision

Codes = Float32[np.ndarray, "n d"]
Found = tuple[Float32[np.ndarray, "q k"], Int64[np.ndarray, "q k"]]  # distances, and rows


def exact(codes: Codes, z: Float32[np.ndarray, "q d"], k: int) -> Found:
    """Return the distances and rows of the k codes nearest to each z (all, if there are fewer); equals by row."""
    distances, rows = zip(*_parts(codes, z, k), strict=True)
    return np.concatenate(distances), np.concatenate(rows)


def _parts(codes: Codes, z: Float32[np.ndarray, "q d"], k: int) -> Iterator[Found]:
    for start in range(0, max(1, len(z)), TOGETHER):
        part = z[start : start + TOGETHER]
        yield _ranked(codes, part, _near(codes, torch.from_numpy(part), k + SPARE), k)


def _near(codes: Codes, z: torch.Tensor, k: int) -> Int64[np.ndarray, "q m"]:
    """Return the rows of the nearest codes, in no order. Numbers of distance and row are never equal."""
    numbers = torch.empty(len(z), 0, dtype=torch.int64)
    for start in range(0, len(codes), BLOCK):
        block = torch.from_numpy(np.array(codes[start : start + BLOCK]))
        # Differences, not |a|^2 + |b|^2 - 2 ab: near codes would lose what sets them apart.
        distances = torch.cdist(z, block, compute_mode="donot_use_mm_for_euclid_dist")
        bits = distances.nan_to_num_(nan=torch.inf, posinf=torch.inf).view(torch.int32).to(torch.int64)
        numbers = torch.cat((numbers, (bits << 32) + torch.arange(start, start + len(block))), dim=1)
        numbers = numbers.topk(min(k, numbers.shape[1]), largest=False, sorted=False)[0]
    return (numbers & (2**32 - 1)).numpy()


def _ranked(codes: Codes, z: Float32[np.ndarray, "q d"], rows: Int64[np.ndarray, "q m"], k: int) -> Found:
    """Return the k nearest of these rows by distances in double precision, so that equal codes are in their order."""
    difference = codes[rows].astype(np.float64) - z[:, None]
    distances = np.linalg.norm(difference, axis=2).astype(np.float32)
    order = np.lexsort((rows, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)
