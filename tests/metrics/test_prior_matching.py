from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import chi2, norm, wasserstein_distance

from aimgan.metrics import prior_matching
from aimgan.metrics.prior_matching import (
    mmd_floor,
    mmd_to_standard_normal,
    random_directions,
    share_within,
    sliced_wasserstein,
)

SCALES = (1 / 64, 1 / 16, 1 / 4, 1, 4)


def draws(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sampled_mmd(a, b):
    """The unbiased squared MMD of two samples, by scipy's distances."""

    def kernels(x, y):
        return sum(np.exp(-cdist(x, y, "sqeuclidean") / (2 * s * x.shape[1])) for s in SCALES) / len(SCALES)

    within = [kernels(s, s)[~np.eye(len(s), dtype=bool)].mean() for s in (a, b)]
    return sum(within) - 2 * kernels(a, b).mean()


@pytest.mark.parametrize(("n", "d"), [(300, 1), (1500, 2), (300, 16)])  # 1,500 are more than a block
def test_the_closed_form_is_the_limit_of_the_sampled_one(n: int, d: int):
    codes = 0.7 * draws(n, d) + 0.3
    exact = mmd_to_standard_normal(codes)
    sampled = [sampled_mmd(codes.numpy(), draws(3000, d, seed).numpy()) for seed in range(1, 7)]
    error = np.std(sampled, ddof=1) / math.sqrt(6)
    assert exact == pytest.approx(np.mean(sampled), abs=4 * error)
    assert error < 0.1 * exact  # or the line above would say little


@pytest.mark.parametrize("d", [2, 8])
def test_the_floor_is_the_standard_deviation_over_draws_of_the_prior(d: int):
    scores = [mmd_to_standard_normal(draws(100, d, seed)) for seed in range(400)]
    assert np.mean(scores) == pytest.approx(0, abs=4 * mmd_floor(100, d) / 20)
    assert np.std(scores) == pytest.approx(mmd_floor(100, d), rel=0.2)


def test_sliced_wasserstein_agrees_with_scipy_in_one_dimension():
    codes = draws(200, 1) * 2
    quantiles = norm.ppf((np.arange(200) + 0.5) / 200)
    got = sliced_wasserstein(codes, torch.ones(1, 1))
    # scipy gives W1 of two samples: of equal size and sorted, the mean |difference| in place of its square's root mean
    differences = np.sort(codes.numpy()[:, 0]) - quantiles
    assert np.abs(differences).mean() == pytest.approx(wasserstein_distance(codes.numpy()[:, 0], quantiles))
    assert got == pytest.approx(math.sqrt((differences**2).mean()))


def test_sliced_wasserstein_of_a_shift_and_of_a_scale_is_closed_form():
    z, directions = draws(5_000, 3), random_directions(400, 3, torch.Generator().manual_seed(0))
    assert directions.norm(dim=1).numpy() == pytest.approx(1)
    shift = torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64)
    assert sliced_wasserstein(z + shift, directions) == pytest.approx(3 / math.sqrt(3), rel=0.06)
    assert sliced_wasserstein(2 * z, directions) == pytest.approx(1, rel=0.02)
    assert sliced_wasserstein(z, directions) < 0.05


@pytest.mark.parametrize("d", [1, 2, 3, 64])
def test_share_within_keeps_the_mass_of_the_disk(d: int):
    z = draws(20_000, d)
    radius = math.sqrt(chi2.ppf(chi2.cdf(9, 2), d))
    assert share_within(z) == pytest.approx(float((z.norm(dim=1) <= radius).double().mean()))
    assert share_within(z) == pytest.approx(1 - math.exp(-4.5), abs=4 * math.sqrt(0.011 / 20_000))


def test_prior_matching_tells_the_prior_from_a_narrow_code():
    z = draws(1500, 2)
    good, bad = (prior_matching(codes, torch.Generator().manual_seed(0)) for codes in (z, 0.7 * z))
    assert abs(good["prior_mmd"]) < 4 * good["prior_mmd_floor"]
    assert good["prior_sliced_wasserstein"] < 2 * good["prior_sliced_wasserstein_floor"]
    assert bad["prior_mmd"] > 20 * bad["prior_mmd_floor"]
    assert bad["prior_sliced_wasserstein"] == pytest.approx(0.3, rel=0.1)
    assert bad["share_within_3_sigma"] > good["share_within_3_sigma"]
    assert good["share_within_3_sigma_prior"] == pytest.approx(0.98889, abs=1e-5)
    assert prior_matching(z.float(), torch.Generator().manual_seed(0)) == pytest.approx(good, rel=1e-4, abs=1e-7)
