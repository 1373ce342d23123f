from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from aimgan.errors import AimganError
from aimgan.metrics import StackedCounts, kl_floor, stacked_weights

CLASSES = torch.tensor([0.16, 0.04, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64)
WEIGHTS = stacked_weights(CLASSES)


def drawn(n: int, seed: int = 0) -> torch.Tensor:
    """Draw the three classes of n pictures."""
    g = torch.Generator().manual_seed(seed)
    return torch.multinomial(CLASSES, 3 * n, replacement=True, generator=g).view(n, 3)


def test_agrees_with_a_loop():
    labels = drawn(4_000)
    got = StackedCounts.of(labels).compute(WEIGHTS)
    seen = Counter(map(tuple, labels.tolist()))
    weights = {mode: math.prod(float(CLASSES[digit]) for digit in mode) for mode in product(range(10), repeat=3)}
    frequencies = [seen[mode] / 4_000 for mode in weights]
    assert got["samples"] == 4_000
    assert got["modes"] == len(seen)
    assert got["mode_kl"] == pytest.approx(entropy(frequencies, list(weights.values())), rel=1e-9)
    assert got["mode_kl_uniform"] == pytest.approx(entropy(frequencies, [1e-3] * 1000), rel=1e-9)


def test_weights_are_products_in_the_order_of_the_counts():
    assert WEIGHTS.shape == (1000,)
    assert float(WEIGHTS.sum()) == pytest.approx(1)
    assert float(WEIGHTS[104]) == pytest.approx(0.04 * 0.16 * 0.1)
    counts = StackedCounts.of(torch.tensor([[1, 0, 4], [9, 9, 9], [1, 0, 4]])).counts
    assert counts.nonzero().flatten().tolist() == [104, 999]
    assert counts[104] == 2


def test_every_mode_once_is_uniform_and_one_mode_is_collapse():
    every = torch.cartesian_prod(*[torch.arange(10)] * 3)
    got = StackedCounts.of(every).compute(WEIGHTS)
    assert (got["modes"], got["mode_kl_uniform"]) == (1000, pytest.approx(0, abs=1e-12))
    assert got["mode_kl"] == pytest.approx(3 * entropy([0.1] * 10, CLASSES.numpy()))  # independent channels: it adds
    one = StackedCounts.of(every[:1].expand(50, 3)).compute(WEIGHTS)
    assert (one["modes"], one["mode_kl_uniform"]) == (1, pytest.approx(np.log(1000)))


def test_real_data_score_the_floor():
    n = 26_000
    scores = [StackedCounts.of(drawn(n, seed)).compute(WEIGHTS) for seed in range(5)]
    assert scores[0]["mode_kl_floor"] == kl_floor(n, 1000) == pytest.approx(0.0192, abs=1e-4)
    assert np.mean([s["mode_kl"] for s in scores]) == pytest.approx(kl_floor(n, 1000), rel=0.05)
    assert all(s["mode_kl_uniform"] > 3 * entropy(CLASSES.numpy(), [0.1] * 10) for s in scores)
    assert min(s["modes"] for s in scores) >= 990


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 200), st.integers(0, 2**20))
def test_parts_add_to_the_whole(cut: int, seed: int):
    labels = drawn(200, seed)
    parts = [StackedCounts.of(part) for part in (labels[:cut], labels[cut:])]
    assert torch.equal((parts[0] + parts[1]).counts, StackedCounts.of(labels).counts)


def test_mistakes_are_named():
    with pytest.raises(AimganError, match="got labels from 0 to 10, expected 0 to 9"):
        StackedCounts.of(torch.tensor([[0, 1, 10]]))
    with pytest.raises(AimganError, match="got 0 samples"):
        StackedCounts.of(torch.zeros(0, 3, dtype=torch.int64)).compute(WEIGHTS)
    with pytest.raises(AimganError, match="a mode of weight zero"):
        StackedCounts.of(drawn(10)).compute(torch.nn.functional.one_hot(torch.tensor(3), 1000).double())
    with pytest.raises(AimganError, match="expected the same"):
        StackedCounts.of(drawn(10)) + StackedCounts.of(drawn(10)[:, :2])
