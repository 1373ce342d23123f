from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2, entropy

from aimgan.metrics import kl_floor, mode_metrics
from aimgan.metrics.modes import truncated_variance

STD = 0.05
AXIS = torch.tensor([-4.0, -2.0, 0.0, 2.0, 4.0])
MEANS = torch.cartesian_prod(AXIS, AXIS)
COVARIANCES = (STD**2 * torch.eye(2)).expand(25, 2, 2)
WEIGHTS = torch.full((25,), 1 / 25)


def grid_samples(n: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    modes = torch.randint(25, (n,), generator=g)
    return MEANS[modes] + scale * STD * torch.randn(n, 2, generator=g)


def by_loops(samples, means, covariances, weights):
    """The metrics again, in numpy, a sample at a time."""
    k, d = means.shape
    inverse = np.linalg.inv(covariances)
    nearest, kept = np.zeros(k), [[] for _ in range(k)]
    for x in samples:
        squares = [(x - means[j]) @ inverse[j] @ (x - means[j]) for j in range(k)]
        j = int(np.argmin(squares))
        nearest[j] += 1
        if math.sqrt(squares[j]) <= 3:
            kept[j].append(x)
    shrink = chi2.cdf(9, d + 2) / chi2.cdf(9, d)
    spread = [
        math.sqrt(np.trace(inverse[j] @ np.cov(np.array(kept[j]).T)) / d / shrink) if len(kept[j]) >= 10 else 0.0
        for j in range(k)
    ]
    return {
        "modes": sum(bool(xs) for xs in kept),
        "high_quality": sum(map(len, kept)) / len(samples),
        "mode_kl": entropy(nearest, weights),
        "mode_spread": [min(spread), max(spread)],
        "mode_counts": nearest.tolist(),
        "mode_high_quality_counts": [len(xs) for xs in kept],
        "mode_spreads": spread,
    }


def assert_agree(got, expected):
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_agrees_with_a_loop_where_covariances_differ_and_are_not_isotropic():
    g = torch.Generator().manual_seed(0)
    means = torch.randn(4, 3, generator=g, dtype=torch.float64)
    roots = torch.randn(4, 3, 3, generator=g, dtype=torch.float64)
    covariances = roots @ roots.mT + 0.1 * torch.eye(3)
    samples = 2 * torch.randn(500, 3, generator=g, dtype=torch.float64)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    expected = by_loops(samples.numpy(), means.numpy(), covariances.numpy(), weights.numpy())
    assert_agree(mode_metrics(samples, means, covariances, weights), expected)


def test_real_data_score_25_and_989_per_mille_and_spread_1():
    n = 50_000
    got = mode_metrics(grid_samples(n), MEANS, COVARIANCES, WEIGHTS)
    assert got["modes"] == 25
    assert got["high_quality"] == pytest.approx(chi2.cdf(9, 2), abs=4 * math.sqrt(0.0111 / n))
    assert got["mode_kl"] == pytest.approx(kl_floor(n, 25), abs=4 * math.sqrt(2 * 24) / (2 * n))
    assert got["mode_kl_floor"] == kl_floor(n, 25)
    # 2,000 samples a mode in 2 dimensions: a standard error of 1 / sqrt(8,000) = 0.011 each, 25 of them
    assert got["mode_spread"] == pytest.approx([1, 1], abs=0.045)
    assert sum(got["mode_spreads"]) / 25 == pytest.approx(1, abs=0.008)


def test_collapse_is_seen_by_the_measure_made_for_it():
    points = mode_metrics(MEANS.repeat(20, 1), MEANS, COVARIANCES, WEIGHTS)
    assert (points["modes"], points["high_quality"], points["mode_kl"]) == (25, 1.0, pytest.approx(0, abs=1e-7))
    assert points["mode_spread"] == pytest.approx([0, 0], abs=1e-6)
    narrow = mode_metrics(grid_samples(5000, scale=0.5), MEANS, COVARIANCES, WEIGHTS)
    assert narrow["mode_spreads"] == pytest.approx([0.5 / math.sqrt(truncated_variance(2))] * 25, rel=0.15)
    one = mode_metrics(MEANS[:1] + STD * torch.randn(100, 2), MEANS, COVARIANCES, WEIGHTS)
    assert (one["modes"], one["mode_kl"]) == (1, pytest.approx(math.log(25)))
    assert one["mode_spread"][0] == 0
    assert one["mode_spread"][1] > 0.7


def test_kl_floor_is_what_sampling_gives():
    draws = np.random.default_rng(0).multinomial(2500, [1 / 25] * 25, size=2000) / 2500
    assert kl_floor(2500, 25) == pytest.approx(np.mean([entropy(f, [1 / 25] * 25) for f in draws]), rel=0.03)
