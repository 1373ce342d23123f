from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from aimgan.metrics import kernel_distance


def draws(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unbiased(x: np.ndarray, y: np.ndarray) -> float:
    n, m = len(x), len(y)
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in map(polynomial_kernel, (x, y))]
    return sum(within) - 2 * polynomial_kernel(x, y).sum() / (n * m)  # its defaults are (x.y / d + 1)^3


def test_one_subset_of_all_agrees_with_scikit_learn():
    x, y = draws(60, 7), draws(60, 7, 1) + 0.3
    score = kernel_distance(x, y, generator=generator())
    expected = unbiased(x.double().numpy(), y.double().numpy())
    assert score == pytest.approx({"kernel_distance": expected, "kernel_distance_std": 0}, rel=1e-9)


def test_subsets_are_drawn_without_replacement_and_told_by_mean_and_population_std():
    x, y = draws(30, 3), draws(20, 3, 1) + 0.3
    score, g = kernel_distance(x, y, subsets=5, subset_size=10, generator=generator()), generator()
    scores = []
    for _ in range(5):
        parts = [s[torch.randperm(len(s), generator=g)[:10]].double().numpy() for s in (x, y)]
        scores.append(unbiased(*parts))
    assert score == pytest.approx({"kernel_distance": np.mean(scores), "kernel_distance_std": np.std(scores)})
    assert score["kernel_distance_std"] > 0
    assert score == kernel_distance(x, y, subsets=5, subset_size=10, generator=generator())
    assert score != kernel_distance(x, y, subsets=5, subset_size=10, generator=generator(1))


def test_is_unbiased_where_the_distributions_are_equal():
    scores = [
        kernel_distance(draws(40, 4, s), draws(40, 4, s + 1), generator=generator())["kernel_distance"]
        for s in range(0, 400, 2)
    ]
    assert np.mean(scores) == pytest.approx(0, abs=3 * np.std(scores) / math.sqrt(200))
    assert min(scores) < 0 < max(scores)


def test_sees_the_mean_the_width_and_the_third_moment():
    x, skewed = draws(2000, 4), draws(2000, 4, 1).square() / math.sqrt(2) - 1 / math.sqrt(2)
    same = kernel_distance(x, draws(2000, 4, 2), 4, generator=generator())
    for other in (draws(2000, 4, 2) + 0.5, 1.5 * draws(2000, 4, 2), skewed):
        score = kernel_distance(x, other, 4, generator=generator())
        assert score["kernel_distance"] > 5 * abs(same["kernel_distance"])


def test_is_symmetric_and_rotations_do_not_matter():
    x, y = draws(50, 5).double(), draws(50, 5, 1).double() + 0.2
    rotation = torch.linalg.qr(draws(5, 5, 2).double()).Q
    score = kernel_distance(x, y, generator=generator())["kernel_distance"]
    for a, b in ((y, x), (x @ rotation, y @ rotation)):
        assert kernel_distance(a, b, generator=generator())["kernel_distance"] == pytest.approx(score, rel=1e-9)
