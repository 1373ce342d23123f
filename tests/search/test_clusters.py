from __future__ import annotations

import numpy as np
import pytest

from aimgan.errors import AimganError
from aimgan.search import cluster, clusters


def blobs(sizes: tuple[int, ...] = (30, 60, 45), far: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Groups ten apart, and codes that are far from all and from each other."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    near = rng.normal(size=(len(truth), 4)) * 0.5 + 10 * np.eye(4)[truth]
    codes = np.concatenate([near, rng.normal(size=(far, 4)) * 300]).astype(np.float32)
    return codes, np.concatenate([truth, np.full(far, -1)])


@pytest.mark.parametrize("many", [20_000, 50])
def test_k_means_finds_groups_and_numbers_them_by_size(many, monkeypatch):
    monkeypatch.setattr(clusters, "MANY", many)
    codes, truth = blobs()
    found = cluster(codes, 3, seed=1)
    assert (found.labels == np.array([2, 0, 1])[truth]).all()
    np.testing.assert_allclose(found.centres[0], codes[truth == 1].mean(axis=0), atol=1e-5)
    near = found.nearest(0, 5)
    inside = np.linalg.norm(codes[truth == 1] - found.centres[0], axis=1)
    np.testing.assert_allclose(found.distances[near], np.sort(inside)[:5], rtol=1e-5)
    assert found.silhouette is not None
    assert found.silhouette > 0.8


@pytest.mark.parametrize("sample", [10_000, 100])
def test_hdbscan_finds_them_without_being_told_how_many(sample, monkeypatch):
    monkeypatch.setattr(clusters, "SAMPLE", sample)
    codes, truth = blobs(far=5)
    found = cluster(codes, method="hdbscan")
    assert len(found.centres) == 3
    same = found.labels[truth >= 0] == np.array([2, 0, 1])[truth[truth >= 0]]
    assert same.mean() > 0.95
    assert (found.labels[truth < 0] == -1).all() or sample == 100
    assert np.isnan(found.distances[found.labels == -1]).all()


def test_extremes():
    codes, _ = blobs()
    assert cluster(codes, 1).silhouette is None
    assert cluster(codes[:3], 3).silhouette is None
    assert len(cluster(np.zeros((9, 4), np.float32), 2).labels) == 9  # all in one place
    lonely = cluster((np.random.default_rng(0).normal(size=(20, 4)) * 100).astype(np.float32), method="hdbscan")
    assert len(lonely.centres) <= 2
    for call, message in (
        (lambda: cluster(codes, 136), "k is 136, but there are 135 images"),
        (lambda: cluster(codes, 0), "k is 0; expected at least 1"),
        (lambda: cluster(codes, method="kmean"), "did you mean 'kmeans'"),
        (lambda: cluster(codes[:3], method="hdbscan"), "HDBSCAN got 3 images, expected at least 5"),
    ):
        with pytest.raises(AimganError, match=message):
            call()
