"""Groups of images whose codes are close together: k-means, or HDBSCAN (Campello et al. 2013)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from threadpoolctl import threadpool_limits

from aimgan import noise
from aimgan.checked import positive
from aimgan.errors import AimganError, near_miss
from aimgan.search.nearest import exact

METHODS = ("kmeans", "hdbscan")
NOISE = -1
MANY = 20_000  # codes: above it k-means takes them in batches
STARTS = 10  # of k-means, of which the best is kept
SAMPLE = 10_000  # codes that HDBSCAN compares with each other, at most
SCORED = 5_000  # codes for the silhouette
BLOCK = 50_000  # codes in memory at a time
LARGEST = 1e15  # the largest number in a code whose square is surely finite

Codes = Float32[np.ndarray, "n d"]
Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Clusters:
    """Cluster 0 is the largest. The label -1 is noise: codes that HDBSCAN puts into no cluster."""

    labels: Labels
    centres: Float32[np.ndarray, "k d"]
    distances: Float32[np.ndarray, " n"]  # to the centre of the cluster; NaN for noise
    silhouette: float | None  # from -1 to 1, on a sample; None for fewer than two clusters

    def nearest(self, cluster: int, n: int) -> Int64[np.ndarray, " m"]:
        """Return the n rows of a cluster that are nearest to its centre (the first ones of noise)."""
        rows = np.flatnonzero(self.labels == cluster)
        return rows[np.argsort(self.distances[rows], kind="stable")][:n]


def cluster(codes: Codes, k: int = 10, method: str = "kmeans", seed: int = 0) -> Clusters:
    """Group codes (n, d) into k clusters by k-means, or into as many as HDBSCAN finds.

    k-means takes the best of ten starts; above MANY codes it learns from batches. HDBSCAN compares all pairs, so above
    SAMPLE codes it sees a sample, and the others get the label of the nearest code in it. The same seed gives the same
    clusters. Raises AimganError for an unknown method, and for more clusters than codes.
    """
    if method not in METHODS:
        raise near_miss("method", method, METHODS)
    state = noise.mix(seed, "clusters") % 2**32
    if method == "kmeans":
        k = positive("k", k)
        if k > len(codes):
            raise AimganError(f"k is {k}, but there are {len(codes):,} images: take a smaller --k")
    for part in _blocks(codes):
        if not (np.abs(part) <= LARGEST).all():  # also for NaN
            raise AimganError(
                f"there are codes that are NaN or above {LARGEST:g}: train the model again, with a lower learning rate"
            )
    # One thread, because several add numbers in an order that varies; no warnings that an optimiser stops early.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _kmeans(codes, k, state) if method == "kmeans" else _hdbscan(codes, state)
        labels = _by_size(found)
        centres = _centres(codes, labels)
        return Clusters(labels, centres, _distances(codes, labels, centres), _silhouette(codes, labels, state))


def _blocks(codes: Codes) -> Iterator[Codes]:
    for start in range(0, len(codes), BLOCK):
        yield np.array(codes[start : start + BLOCK])


def _kmeans(codes: Codes, k: int, state: int) -> Labels:
    from sklearn.cluster import KMeans, MiniBatchKMeans

    common = {"n_clusters": k, "n_init": STARTS, "random_state": state}
    if len(codes) <= MANY:
        model = KMeans(**common)
    else:
        model = MiniBatchKMeans(**common, batch_size=4_096, init_size=max(3 * k, MANY))
    return model.fit_predict(np.asarray(codes)).astype(np.int64)


def _hdbscan(codes: Codes, state: int) -> Labels:
    from sklearn.cluster import HDBSCAN

    rows = np.arange(len(codes))
    if len(codes) > SAMPLE:
        rows = np.sort(np.random.default_rng(state).permutation(len(codes))[:SAMPLE])
    sample = np.array(codes[rows])
    smallest = max(5, len(rows) // 200)
    if len(rows) < smallest:
        raise AimganError(f"HDBSCAN got {len(rows)} images, expected at least {smallest}: take --method kmeans")
    found = HDBSCAN(min_cluster_size=smallest, copy=True).fit_predict(sample).astype(np.int64)
    if len(rows) == len(codes):
        return found
    return np.concatenate([found[exact(sample, part, 1)[1][:, 0]] for part in _blocks(codes)])


def _by_size(labels: Labels) -> Labels:
    """Number clusters from the largest to the smallest."""
    inside = labels != NOISE
    found, places, counts = np.unique(labels[inside], return_inverse=True, return_counts=True)
    numbers = np.empty(len(found), np.int64)
    numbers[np.argsort(-counts, kind="stable")] = np.arange(len(found))
    numbered = np.full_like(labels, NOISE)
    numbered[inside] = numbers[places]
    return numbered


def _centres(codes: Codes, labels: Labels) -> Float32[np.ndarray, "k d"]:
    inside = labels != NOISE
    sums = np.zeros((int(labels.max(initial=NOISE)) + 1, codes.shape[1]))
    for start, part in enumerate(_blocks(codes)):
        own = slice(start * BLOCK, start * BLOCK + len(part))
        np.add.at(sums, labels[own][inside[own]], part[inside[own]])
    counts = np.bincount(labels[inside], minlength=len(sums))
    return (sums / counts[:, None]).astype(np.float32)


def _distances(codes: Codes, labels: Labels, centres: Float32[np.ndarray, "k d"]) -> Float32[np.ndarray, " n"]:
    distances = np.full(len(codes), np.nan, np.float32)
    inside = np.flatnonzero(labels != NOISE)
    for start in range(0, len(inside), BLOCK):
        rows = inside[start : start + BLOCK]
        distances[rows] = np.linalg.norm(codes[rows] - centres[labels[rows]], axis=1)
    return distances


def _silhouette(codes: Codes, labels: Labels, state: int) -> float | None:
    from sklearn.metrics import silhouette_score

    inside = np.flatnonzero(labels != NOISE)
    rows = np.sort(np.random.default_rng(state).permutation(inside)[:SCORED])
    if not 2 <= len(np.unique(labels[rows])) < len(rows):
        return None
    return float(silhouette_score(codes[rows], labels[rows]))
