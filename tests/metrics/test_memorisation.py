from __future__ import annotations

import sys

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from aimgan.metrics import copying, memorisation, nearest_distances


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_agrees_with_scikit_learn_in_many_blocks(monkeypatch: pytest.MonkeyPatch):
    file = sys.modules["aimgan.metrics.memorisation"]  # as an attribute, the name is the function's
    monkeypatch.setattr(file, "_QUERIES", 17)
    monkeypatch.setattr(file, "_REFERENCES", 90)
    queries, references = images(60), images(401, 1)
    distance, index = nearest_distances(queries, references)
    flat = (x.flatten(1).double().numpy() for x in (references, queries))
    expected, place = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(next(flat)).kneighbors(next(flat))
    assert index.tolist() == place[:, 0].tolist()
    assert distance.numpy() == pytest.approx(expected[:, 0] ** 2 / 48, rel=1e-10)
    assert distance.dtype == torch.float64


def test_a_copy_is_found_at_exactly_no_distance():
    train = images(300)
    order = torch.randperm(300)[:40]
    distance, index = nearest_distances(train[order], train)
    assert torch.equal(index, order)
    assert distance.eq(0).all()


def test_near_copies_that_float32_confuses_are_told_apart():
    """|a|^2 + |b|^2 - 2 a.b loses the difference here; the subtraction of the candidates does not."""
    x = images(1)
    near = x + torch.tensor([3e-4, 2e-4, 1e-4, 4e-4])[:, None, None, None]
    assert nearest_distances(x, torch.cat([images(50, 1), near]))[1].tolist() == [52]


def test_memorisation_of_copies_of_new_images_and_of_noise():
    train, held_out = images(500), images(100, 1)
    nearest = nearest_distances(held_out, train)[0].mean().item()
    copies = memorisation(train[:50] + 0.001, held_out, train)
    assert copies["nearest_train_mse"] == pytest.approx(1e-6, rel=1e-2)
    assert copies["nearest_train_mse_held_out"] == nearest
    assert copies["memorisation_ratio"] == pytest.approx(1e-6 / nearest, rel=1e-2)
    halves = [
        torch.minimum(*(nearest_distances(x, part)[0] for part in train.split(250)))
        for x in (train[:50] + 0.001, held_out)
    ]
    assert copying(*halves) == copies  # a training set that is read in parts
    new = memorisation(images(100, 2), held_out, train)
    assert new["memorisation_ratio"] == pytest.approx(1, abs=0.05)
    assert memorisation(2 * images(50, 2) - 0.5, held_out, train)["memorisation_ratio"] > 2
