"""The nearest codes, found by comparing all of them: among a million of 64 numbers in a fraction of a second."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

BLOCK = 50_000  # codes that are compared at a time
MOST = 4_000_000  # distances in memory at a time, unless there are more codes

Codes = Float32[np.ndarray, "n d"]
Found = tuple[Float32[np.ndarray, "q k"], Int64[np.ndarray, "q k"]]  # distances, and rows


def exact(codes: Codes, z: Float32[np.ndarray, "q d"], k: int) -> Found:
    """Return the distances and rows of the k codes nearest to each z (all, if there are fewer); equals by row."""
    k, together = min(k, len(codes)), max(1, MOST // max(1, len(codes)))
    near, rows = np.empty((len(z), k), np.float32), np.empty((len(z), k), np.int64)
    for start in range(0, len(z), together):
        for q, distances in enumerate(_distances(codes, z[start : start + together]), start):
            rows[q] = _smallest(distances, k)
            near[q] = distances[rows[q]]
    return near, rows


def _distances(codes: Codes, z: Float32[np.ndarray, "p d"]) -> Float64[np.ndarray, "p n"]:
    """Return all distances, in double precision; infinity where a code is NaN."""
    found = np.empty((len(z), len(codes)))
    for start in range(0, len(codes), BLOCK):
        block = torch.from_numpy(np.array(codes[start : start + BLOCK], np.float64))
        # Differences, not |a|^2 + |b|^2 - 2 ab: near codes would lose what sets them apart.
        part = torch.cdist(torch.from_numpy(z).double(), block, compute_mode="donot_use_mm_for_euclid_dist")
        found[:, start : start + BLOCK] = part.numpy()
    return np.nan_to_num(found, copy=False, nan=np.inf, posinf=np.inf)


def _smallest(values: Float64[np.ndarray, " n"], k: int) -> Int64[np.ndarray, " k"]:
    """Return where the k smallest values are, smallest first, equals in their order."""
    if not k:
        return np.empty(0, np.int64)
    among = np.flatnonzero(values <= np.partition(values, k - 1)[k - 1])
    return among[np.argsort(values[among], kind="stable")][:k]
