from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aimgan.metrics import FeatureMoments, frechet_distance


def features(n: int, d: int, seed: int = 0) -> torch.Tensor:
    """Rows of correlated Gaussians with means about 1."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=g, dtype=torch.float64) / math.sqrt(d)
    return torch.randn(n, d, generator=g, dtype=torch.float64) @ mix + torch.rand(d, generator=g)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return frechet_distance(FeatureMoments.of(a), FeatureMoments.of(b))


def test_of_diagonal_gaussians_is_closed_form():
    z = features(200, 3)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(z.T.cov()), (z - z.mean(0)).T, upper=False).T
    a, b = (white * torch.tensor(s) for s in ([1.0, 2.0, 3.0], [2.0, 2.0, 0.5]))
    assert distance(a, b + 1) == pytest.approx(1 + 0 + 6.25 + 3, rel=1e-9)  # sum of (s - t)^2, and |shift|^2


@pytest.mark.parametrize("d", [20, 64])
def test_singular_covariances_agree_with_the_space_that_the_rows_span(d: int):
    """Fewer rows than dimensions: rotated into the few dimensions there are, the distance is the same."""
    small = [features(12, 6, seed) for seed in (0, 1)]
    basis = torch.linalg.qr(features(d, d, 2)).Q[:6]
    assert distance(*(s @ basis for s in small)) == pytest.approx(distance(*small), rel=1e-7)
    assert distance(small[0] @ basis, small[0] @ basis) == pytest.approx(0, abs=1e-9)
    assert distance(features(10, d), features(10, d, 1)) > 0
    point = torch.ones(5, d, dtype=torch.float64)
    assert distance(point, point + 2) == pytest.approx(4 * d)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 30), st.integers(1, 8), st.integers(0, 2**20))
def test_invariances(n: int, d: int, seed: int):
    a, b = features(n, d, seed), features(n + 3, d, seed + 1)
    score = distance(a, b)
    rotation = torch.linalg.qr(features(d, d, seed + 2)).Q
    assert score >= 0
    assert distance(a, a) == pytest.approx(0, abs=1e-7)
    assert distance(b, a) == pytest.approx(score, rel=1e-6, abs=1e-7)
    assert distance(a @ rotation + 3, b @ rotation + 3) == pytest.approx(score, rel=1e-6, abs=1e-7)
    assert distance(2 * a, 2 * b) == pytest.approx(4 * score, rel=1e-6, abs=1e-7)
    assert distance(a + 1, a) == pytest.approx(d, rel=1e-6)
