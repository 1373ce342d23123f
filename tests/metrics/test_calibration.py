from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2, kstest, kstwobign, norm

from aimgan.metrics import Calibration, calibration_error_floor, calibration_ks_floor

SLOPES = torch.tensor([0.3, 1.0, 3.0], dtype=torch.float64)
N = 20_000


def linear_gaussian(n: int, seed: int = 0):
    """z ~ N(0, I), x = slope z + N(0, 1): codes and the exact posterior N(slope x v, v), v = 1 / (1 + slope^2)."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 3, generator=g, dtype=torch.float64)
    x = SLOPES * z + torch.randn(n, 3, generator=g, dtype=torch.float64)
    variance = (1 / (1 + SLOPES**2)).expand(n, 3)
    return z, SLOPES * x * variance, variance.log()


def test_agrees_with_scipy_on_a_wrong_posterior():
    z, mean, log_variance = linear_gaussian(500)
    mean, log_variance = mean + 0.2, log_variance - 0.7
    got = Calibration.of(z, mean, log_variance).compute()
    std = log_variance.exp().sqrt().numpy()
    q = norm(mean.numpy(), std)
    u = q.cdf(z.numpy())
    for level in (0.5, 0.8, 0.95):
        low, high = q.interval(level)
        name = f"coverage_{round(100 * level)}"
        assert got[name] == pytest.approx(np.mean((z.numpy() >= low) & (z.numpy() <= high)))
        square = (((z - mean).numpy() / std) ** 2).sum(1)
        assert got[f"joint_{name}"] == pytest.approx(np.mean(square <= chi2.ppf(level, 3)))
    histograms = np.stack([np.histogram(column, bins=20, range=(0, 1))[0] / 500 for column in u.T])
    assert got["rank_histogram"] == pytest.approx(histograms.mean(0).tolist())
    assert got["calibration_error"] == pytest.approx(np.abs(20 * histograms - 1).mean())
    assert got["calibration_ks"] == pytest.approx(max(kstest(c, "uniform").statistic for c in u.T), abs=1.01e-3)
    assert got["log_score"] == pytest.approx(q.logpdf(z.numpy()).sum(1).mean())
    assert got["prior_log_score_sample"] == pytest.approx(norm.logpdf(z.numpy()).sum(1).mean())
    assert got["posterior_std"] == pytest.approx(std.mean())
    assert got["sharpness"] == pytest.approx(np.exp(np.log(std).mean()))


def test_the_exact_posterior_is_calibrated_and_has_the_closed_form_log_score():
    z, mean, log_variance = linear_gaussian(N)
    got = Calibration.of(z, mean, log_variance).compute()
    for level in (0.5, 0.8, 0.95):
        name = f"coverage_{round(100 * level)}"
        error = math.sqrt(level * (1 - level) / N)
        assert got[name] == pytest.approx(level, abs=4 * error / math.sqrt(3))
        assert got[f"joint_{name}"] == pytest.approx(level, abs=4 * error)
    assert got["calibration_error"] == pytest.approx(got["calibration_error_floor"], rel=0.4)
    assert got["calibration_ks"] < 1.7 * got["calibration_ks_floor"]
    prior = -1.5 * (1 + math.log(2 * math.pi))
    information = 0.5 * float((1 + SLOPES**2).log().sum())
    assert got["prior_log_score"] == pytest.approx(prior)
    assert got["prior_log_score_sample"] == pytest.approx(prior, abs=4 * math.sqrt(1.5 / N))
    assert got["log_score"] == pytest.approx(prior + information, abs=4 * math.sqrt(1.5 / N))
    assert got["sharpness"] == pytest.approx(math.exp(-information / 3))
    assert sum(got["rank_histogram"]) == pytest.approx(1)


def test_the_prior_is_calibrated_but_worth_nothing():
    z = linear_gaussian(N)[0]
    got = Calibration.of(z, torch.zeros_like(z), torch.zeros_like(z)).compute()
    assert got["calibration_error"] < 1.5 * got["calibration_error_floor"]
    assert got["log_score"] == pytest.approx(got["prior_log_score_sample"], abs=1e-12)
    assert got["sharpness"] == 1


def test_opposite_biases_of_two_dimensions_do_not_cancel():
    z, mean, log_variance = linear_gaussian(5000)
    bias = torch.tensor([0.5, -0.5, 0.0], dtype=torch.float64) * (log_variance / 2).exp()
    got = Calibration.of(z, mean + bias, log_variance).compute()
    assert got["calibration_error"] > 4 * got["calibration_error_floor"]


def test_floors_are_what_a_perfect_posterior_scores():
    u = np.random.default_rng(0).uniform(size=(400, 1000))
    errors = [np.abs(np.histogram(row, bins=20, range=(0, 1))[0] / 50 - 1).mean() for row in u]
    assert calibration_error_floor(1000) == pytest.approx(np.mean(errors), rel=0.03)
    assert calibration_ks_floor(10_000, 1) == pytest.approx(kstwobign.median() / 100, rel=0.01)
    assert calibration_ks_floor(10_000, 64) == pytest.approx(kstwobign.ppf(0.5 ** (1 / 64)) / 100, rel=0.01)


def test_codes_far_outside_the_posterior_fall_in_the_outer_bins():
    z = torch.tensor([[-100.0], [100.0]])
    got = Calibration.of(z, torch.zeros(2, 1), torch.zeros(2, 1)).compute()
    assert (got["rank_histogram"][0], got["rank_histogram"][-1]) == (0.5, 0.5)
    assert got["joint_coverage_95"] == 0
