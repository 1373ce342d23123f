"""The prior, the posterior, the head that makes it, and the stochastic generator of section 4.6."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from aimgan import noise
from aimgan.networks import MLP, GaussianHead, Posterior, StandardNormal, StochasticGenerator


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normality(sample: Tensor) -> float:
    """The p-value of a Kolmogorov-Smirnov test against N(0, 1)."""
    return stats.kstest(sample.flatten().numpy(), "norm").pvalue


def test_prior_samples_and_log_prob() -> None:
    prior = StandardNormal(3).double()
    z = prior.sample(4000, noise.generator(1))
    assert z.shape == (4000, 3)
    assert z.dtype == torch.float64
    assert normality(z) > 0.01
    expected = Independent(Normal(torch.zeros(3).double(), torch.ones(3).double()), 1).log_prob(z)
    torch.testing.assert_close(prior.log_prob(z), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(z, prior.sample(4000, noise.generator(1)))
    assert not torch.equal(prior.sample(5), prior.sample(5))
    assert not list(prior.state_dict())


def test_posterior_log_prob_and_variance() -> None:
    q, z = Posterior(draw(6, 3, seed=1), draw(6, 3, seed=2)), draw(6, 3)
    expected = Independent(Normal(q.mean, q.log_variance.exp().sqrt()), 1).log_prob(z)
    torch.testing.assert_close(q.log_prob(z), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(q.variance, q.log_variance.exp())
    assert q.log_prob(z).shape == (6,)


def test_posterior_samples_have_its_mean_and_variance_and_are_independent() -> None:
    q = Posterior(draw(5, 2, seed=1), draw(5, 2, seed=2))
    z = q.sample(3000, noise.generator(3))
    assert z.shape == (3000, 5, 2)
    eps = (z - q.mean) / q.variance.sqrt()
    assert normality(eps) > 0.01
    correlations = torch.corrcoef(eps.flatten(1).T) - torch.eye(10)
    assert correlations.abs().max() < 0.08
    assert torch.equal(z, q.sample(3000, noise.generator(3)))
    assert not torch.equal(q.sample(2), q.sample(2))


def test_posterior_samples_in_a_stream_are_shared_by_rank() -> None:
    """Two processes with half of the images each draw what one draws for all."""
    q = Posterior(draw(6, 2, seed=1), draw(6, 2, seed=2))
    with noise.stream(noise.generator(3)):
        whole = q.sample(4)
    for rank in range(2):
        half = Posterior(q.mean[3 * rank :][:3], q.log_variance[3 * rank :][:3])
        with noise.stream(noise.generator(3), rank, 2):
            assert torch.equal(half.sample(4), whole[:, 3 * rank :][:, :3])


def test_the_heads_floor_is_smooth_and_keeps_a_gradient_below_it() -> None:
    raw = torch.linspace(-12, 8, 41, dtype=torch.float64)[:, None].requires_grad_()
    out = GaussianHead(nn.Identity(), nn.Identity(), min_log_variance=-2.0)(raw).log_variance
    torch.testing.assert_close(out, -2 + torch.log1p((raw + 2).exp()))
    assert (out > -2).all()
    assert (out > raw).all()
    (slope,) = torch.autograd.grad(out.sum(), raw)
    torch.testing.assert_close(slope, torch.sigmoid(raw + 2))
    assert (slope > 0).all()
    assert out[-1].item() == pytest.approx(8, abs=1e-4)


def test_the_head_has_no_floor_by_default_and_unit_variance_without_a_network() -> None:
    f = draw(4, 3)
    q = GaussianHead(nn.Identity(), nn.Identity())(f)
    assert torch.equal(q.log_variance, f)
    q = GaussianHead(nn.Identity(), 0.0)(f)
    assert torch.equal(q.mean, f)
    assert torch.equal(q.variance, torch.ones_like(f))


# Section 4.6: x~ = G(z, eps).


def test_a_stochastic_generator_draws_eps_from_the_steps_own_stream() -> None:
    network = MLP(shape=(2,), dim=3 + 2, width=8).G().double()
    G, z = StochasticGenerator(network, noise_dim=2), draw(16, 3)
    with noise.stream(noise.generator(9)):
        x, other = G(z), G(z)
    eps = torch.randn(16, 2, generator=noise.generator(9), dtype=torch.float64)
    assert torch.equal(x, network(torch.cat([z, eps], dim=1)))
    assert torch.equal(x, G(z, eps))
    assert not torch.equal(x, other)
