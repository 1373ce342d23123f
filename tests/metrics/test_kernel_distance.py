from __future__ import annotations

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
