"""The posterior weighting (science.md 2): what it leaves to E, and what it makes of G's gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from aimgan.networks import Posterior
from aimgan.objectives.terms import gaussian_nll, likelihood_loss


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(z: Tensor, mean: Tensor, log_variance: Tensor, beta: float) -> tuple[Tensor, ...]:
    """The loss's gradient for E's outputs at one x, whose codes are the rows of z."""
    mean, log_variance = mean.clone().requires_grad_(), log_variance.clone().requires_grad_()
    q = Posterior(mean.expand_as(z), log_variance.expand_as(z))
    return torch.autograd.grad(likelihood_loss(gaussian_nll(q, z), q, beta), (mean, log_variance))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_es_stationary_point_is_the_mean_and_the_variance(beta: float) -> None:
    z = draw(40, 3) * torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64) + draw(3, seed=1)
    mean, log_variance = z.mean(dim=0), z.var(dim=0, correction=0).log()
    for part in gradient(z, mean, log_variance, beta):
        torch.testing.assert_close(part, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    assert (gradient(z, mean + 0.1, log_variance, beta)[0] > 1e-3).all()  # and descent leads back to it
    assert (gradient(z, mean, log_variance + 0.1, beta)[1] > 1e-3).all()
    assert (gradient(z, mean, log_variance - 0.1, beta)[1] < -1e-3).all()


def through_means(beta: float, log_variance: Tensor) -> Tensor:
    """The gradient that the likelihood sends back through each sample's mean."""
    z, mean = draw(10, 3), draw(10, 3, seed=1).requires_grad_()
    q = Posterior(mean, log_variance)
    return torch.autograd.grad(likelihood_loss(gaussian_nll(q, z), q, beta), mean)[0]


def test_with_beta_1_the_means_gradient_is_that_of_aim_minus() -> None:
    log_variance = 3 * draw(10, 3, seed=2)
    of_aim_minus = through_means(0.0, torch.zeros_like(log_variance))
    torch.testing.assert_close(through_means(1.0, log_variance), of_aim_minus, rtol=1e-12, atol=1e-12)
    plain = through_means(0.0, log_variance)
    torch.testing.assert_close(plain, of_aim_minus * (-log_variance).exp(), rtol=1e-12, atol=1e-12)


def test_with_beta_1_the_variances_gradient_is_bounded_as_sigma_goes_to_zero() -> None:
    """(sigma^2 - (z - mu)^2) / 2: the plain loss's is 1 / sigma^2 times that."""
    z, mean = draw(1, 3), draw(3, seed=1)
    for log_variance in (0.0, -10.0, -30.0):
        level = torch.full((3,), log_variance, dtype=torch.float64)
        expected = (level.exp() - (z[0] - mean).square()) / 2
        torch.testing.assert_close(gradient(z, mean, level, 1.0)[1], expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient(z, mean, level, 0.0)[1], expected / level.exp(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_only_beta_zero_is_the_gradient_of_one_loss(beta: float) -> None:
    """Mixed derivatives, of the mean's gradient for log sigma^2 and the other way round: -r and (beta - 1) r."""
    z, mean, log_variance, step = draw(1, 3), draw(3, seed=1), draw(3, seed=2), 1e-5

    def slope(part: int, shifts: tuple[float, float]) -> Tensor:
        ends = [gradient(z, mean + k * shifts[0], log_variance + k * shifts[1], beta)[part] for k in (-1, 1)]
        return (ends[1] - ends[0]) / (2 * step)

    r = (mean - z[0]) * ((beta - 1) * log_variance).exp()
    torch.testing.assert_close(slope(1, (step, 0.0)), -r, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(slope(0, (0.0, step)), (beta - 1) * r, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("sigma", [1.0, 0.1, 0.001])
def test_the_means_gradient_where_e_is_right_about_its_error(sigma: float, beta: float) -> None:
    """Its root mean square is sigma^(2 beta - 1): 1 / sigma in the plain loss."""
    z = draw(50, 1)
    z = sigma * (z - z.mean()) / z.std(correction=0)
    mean = torch.zeros_like(z).requires_grad_()
    q = Posterior(mean, torch.full_like(z, sigma).log() * 2)
    (got,) = torch.autograd.grad(len(z) * likelihood_loss(gaussian_nll(q, z), q, beta), mean)
    assert got.square().mean().sqrt().item() == pytest.approx(sigma ** (2 * beta - 1), rel=1e-9)
