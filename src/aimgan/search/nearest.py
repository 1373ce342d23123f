"""The nearest codes, by comparison with all of them: a fraction of a second for a million codes of 64 numbers."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

BLOCK = 50_000  # codes that are compared at a time
PAIRS = 10_000  # of codes, whose distances say what is near
MOST = 4_000_000  # distances in memory at a time, unless there are more codes

Codes = Float32[np.ndarray, "n d"]
Found = tuple[Float32[np.ndarray, "q k"], Int64[np.ndarray, "q k"]]  # distances and rows


def exact(codes: Codes, z: Float32[np.ndarray, "q d"], k: int) -> Found:
    """Return the distances and rows of the k codes that are nearest to each z, or of all codes if there are fewer.

    The nearest comes first; codes at the same distance are in the order of their rows.
    """
    k = min(k, len(codes))
    together = max(1, MOST // max(1, len(codes)))
    near, rows = np.empty((len(z), k), np.float32), np.empty((len(z), k), np.int64)
    for start in range(0, len(z), together):
        for q, distances in enumerate(_distances(codes, z[start : start + together]), start):
            rows[q] = _smallest(distances, k)
            near[q] = distances[rows[q]]
    return near, rows


def _distances(codes: Codes, z: Float32[np.ndarray, "p d"]) -> Float64[np.ndarray, "p n"]:
    """Return all distances in double precision, infinity for codes with NaN."""
    queries = torch.from_numpy(z).double()
    found = np.empty((len(z), len(codes)))
    for start in range(0, len(codes), BLOCK):
        block = torch.from_numpy(np.array(codes[start : start + BLOCK], np.float64))
        # From differences, since |a|^2 + |b|^2 - 2 ab would lose what distinguishes codes that are near.
        part = torch.cdist(queries, block, compute_mode="donot_use_mm_for_euclid_dist")
        found[:, start : start + BLOCK] = part.numpy()
    return np.nan_to_num(found, copy=False, nan=np.inf, posinf=np.inf)


def _smallest(values: Float64[np.ndarray, " n"], k: int) -> Int64[np.ndarray, " k"]:
    """Return the places of the k smallest values, smallest first; equal values in their order."""
    if not k:
        return np.empty(0, np.int64)
    limit = np.partition(values, k - 1)[k - 1]
    among = np.flatnonzero(values <= limit)
    return among[np.argsort(values[among], kind="stable")][:k]


def usual_distances(codes: Codes) -> tuple[float, float]:
    """Return what a distance is to be read against, from random pairs of codes.

    The first number is their median distance; the closest 5 % of the pairs are at most the second one apart. Both are
    NaN for a single code.
    """
    if len(codes) < 2:
        return math.nan, math.nan
    draws = np.random.default_rng(0)
    first = draws.integers(len(codes), size=PAIRS)
    second = (first + draws.integers(1, len(codes), size=PAIRS)) % len(codes)  # never the same one
    median, close = np.nanquantile(np.linalg.norm(codes[first] - codes[second], axis=1), (0.5, 0.05))
    return float(median), float(close)
