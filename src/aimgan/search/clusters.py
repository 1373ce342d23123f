"""Groups of images whose codes lie together: k-means, or HDBSCAN (Campello et al. 2013), in the prior's units."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
STARTS = 10  # of k-means, the tightest wins
SAMPLE = 10_000  # the most that HDBSCAN compares with each other
SCORED = 5_000  # codes that the silhouette is taken on
BLOCK = 50_000  # codes in memory at a time
LARGEST = 1e15  # of a code's numbers

Codes = Float32[np.ndarray, "n d"]
Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Clusters:
    """Cluster 0 is the largest. A label of -1 is noise: HDBSCAN's word for what lies in no cluster."""

    labels: Labels
    centres: Float32[np.ndarray, "k d"]
    distances: Float32[np.ndarray, " n"]  # to the centre of its cluster; NaN of noise
    silhouette: float | None  # from -1 to 1, on a sample; None of fewer than two clusters

    def nearest(self, cluster: int, n: int) -> Int64[np.ndarray, " m"]:
        """Return the n rows of a cluster that are nearest to its centre (of noise the first ones)."""
        rows = np.flatnonzero(self.labels == cluster)
        return rows[np.argsort(self.distances[rows], kind="stable")][:n]


def cluster(codes: Codes, k: int = 10, method: str = "kmeans", seed: int = 0) -> Clusters:
    """Group codes (n, d) into k clusters by k-means, or into as many as HDBSCAN finds.

    k-means takes the best of ten starts; above MANY codes it learns from batches. HDBSCAN compares each with each, so
    above SAMPLE it sees a sample, and the rest take the label of the nearest code in it. The same seed gives the same
    clusters. Raises AimganError for an unknown method, and for more clusters than codes.
    """
    if method not in METHODS:
        raise near_miss("method", method, METHODS)
    if method == "kmeans" and positive("k", k) > len(codes):
        raise AimganError(f"k is {k}, but there are {len(codes):,} images: take a smaller --k")
    _require_finite(codes)
    state = noise.mix(seed, "clusters") % 2**32
    with _repeatable():
        labels = _by_size(_kmeans(codes, k, state) if method == "kmeans" else _hdbscan(codes, state))
        centres = _centres(codes, labels)
        return Clusters(labels, centres, *_fit(codes, labels, centres, state))


def _require_finite(codes: Codes) -> None:
    """Raise AimganError for codes whose squares are no numbers."""
    for start in range(0, len(codes), BLOCK):
        if not (np.abs(codes[start : start + BLOCK]) <= LARGEST).all():  # NaN too
            raise AimganError(f"there are codes that are NaN or above {LARGEST:g}: is the model's training sound?")


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
    parts = (np.array(codes[start : start + BLOCK]) for start in range(0, len(codes), BLOCK))
    return np.concatenate([found[exact(sample, part, 1)[1][:, 0]] for part in parts])


def _by_size(labels: Labels) -> Labels:
    """Number clusters from the largest to the smallest."""
    found, counts = np.unique(labels[labels != NOISE], return_counts=True)
    number = {int(old): new for new, old in enumerate(found[np.argsort(-counts, kind="stable")])} | {NOISE: NOISE}
    return np.array([number[label] for label in labels.tolist()], np.int64)


def _centres(codes: Codes, labels: Labels) -> Float32[np.ndarray, "k d"]:
    sums = np.zeros((int(labels.max(initial=NOISE)) + 1, codes.shape[1]))
    for start in range(0, len(codes), BLOCK):
        part = labels[start : start + BLOCK]
        np.add.at(sums, part[part != NOISE], codes[start : start + BLOCK][part != NOISE])
    counts = np.bincount(labels[labels != NOISE], minlength=len(sums))
    return (sums / counts[:, None]).astype(np.float32)


def _fit(
    codes: Codes, labels: Labels, centres: Float32[np.ndarray, "k d"], state: int
) -> tuple[Float32[np.ndarray, " n"], float | None]:
    """Return each code's distance to its centre, and the silhouette of a sample."""
    from sklearn.metrics import silhouette_score

    distances = np.full(len(codes), np.nan, np.float32)
    inside = np.flatnonzero(labels != NOISE)
    for start in range(0, len(inside), BLOCK):
        rows = inside[start : start + BLOCK]
        distances[rows] = np.linalg.norm(codes[rows] - centres[labels[rows]], axis=1)
    rows = np.sort(np.random.default_rng(state).permutation(inside)[:SCORED])
    if not 2 <= len(np.unique(labels[rows])) < len(rows):
        return distances, None
    return distances, float(silhouette_score(codes[rows], labels[rows]))


@contextmanager
def _repeatable() -> Iterator[None]:
    """One thread, since several add in an order of their own; and no warning of an optimiser that stops early."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
