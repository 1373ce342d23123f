from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import mutual_info_score

from aimgan import noise
from aimgan.metrics import cluster_scores, latent_scores, linear_probe, nearest_neighbour_accuracy


def blobs(n: int, classes: int = 4, d: int = 5, spread: float = 1.0, seed: int = 0):
    x, y = make_blobs(n, d, centers=classes, cluster_std=spread, random_state=seed)
    return torch.from_numpy(x).float(), torch.from_numpy(y.astype(np.int64))


def halves(codes: torch.Tensor, labels: torch.Tensor):
    half = len(codes) // 2
    return codes[:half], labels[:half], codes[half:], labels[half:]


def test_separate_classes_score_one_and_unrelated_labels_chance():
    codes, labels = blobs(400, spread=0.1)
    best = dict.fromkeys(("probe_accuracy", "knn_accuracy", "kmeans_accuracy", "kmeans_nmi"), 1.0)
    assert latent_scores(*halves(codes, 10 * labels + 7)) == pytest.approx(best)  # any integers name the classes
    shuffled = labels[torch.randperm(400)]
    chance = latent_scores(*halves(codes, shuffled))
    assert max(chance["probe_accuracy"], chance["knn_accuracy"], chance["kmeans_accuracy"]) < 0.4
    assert chance["kmeans_nmi"] < 0.05


def test_the_probe_of_two_gaussians_is_near_bayes_and_blind_to_units():
    """N(+-m, I): Bayes' accuracy is Phi(|m|)."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(4000) % 2
    codes = torch.randn(4000, 3, generator=g) + (2 * labels[:, None] - 1) * torch.tensor([1.0, 0.0, 0.0])
    got = linear_probe(*halves(codes, labels))
    assert got == pytest.approx(0.8413, abs=4 * math.sqrt(0.84 * 0.16 / 2000))
    assert linear_probe(*halves(codes * torch.tensor([1e-4, 1.0, 1e4]) + 5, labels)) == pytest.approx(got, abs=2e-3)


@pytest.mark.parametrize("k", [1, 4, 5])
def test_neighbours_agree_with_a_loop(k: int):
    train, train_labels, test, test_labels = halves(*blobs(160, spread=5.0))
    votes = [train_labels[(train - z).square().sum(1).topk(k, largest=False).indices].bincount() for z in test]
    expected = np.mean([int(vote.argmax()) == int(label) for vote, label in zip(votes, test_labels, strict=True)])
    assert nearest_neighbour_accuracy(train, train_labels, test, test_labels, k) == pytest.approx(expected)


def test_clusters_agree_with_every_pairing_and_the_entropies():
    from sklearn.cluster import KMeans

    codes, labels = blobs(200, spread=5.0)
    found = KMeans(4, n_init=10, random_state=noise.mix(0, "k-means") % 2**32).fit_predict(codes.double().numpy())
    best = max(np.mean(np.array(order)[found] == labels.numpy()) for order in permutations(range(4)))
    entropies = [mutual_info_score(x, x) for x in (found, labels.numpy())]
    nmi = 2 * mutual_info_score(found, labels.numpy()) / sum(entropies)
    assert 0.3 < best < 0.99
    assert cluster_scores(codes, labels) == pytest.approx({"kmeans_accuracy": best, "kmeans_nmi": nmi})


def test_what_does_not_converge_is_no_error():
    collapsed = torch.zeros(
        60, 3
    )  # fewer distinct codes than clusters: scikit-learn warns, and warnings are errors here
    labels = torch.arange(60) % 3
    scores = latent_scores(*halves(collapsed, labels))
    assert scores["kmeans_accuracy"] == pytest.approx(1 / 3)
    assert scores["kmeans_nmi"] == 0
    assert scores["probe_accuracy"] == pytest.approx(1 / 3)
