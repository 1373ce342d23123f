from __future__ import annotations

import math

import pytest
import torch

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
