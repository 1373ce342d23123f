"""Every loss term against an independent implementation, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

from aimgan.networks import Posterior
from aimgan.objectives.terms import VALUE_FUNCTIONS, gaussian_nll, likelihood_loss


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def q() -> Posterior:
    return Posterior(draw(7, 3, seed=1), draw(7, 3, seed=2))


def test_gaussian_nll_is_that_of_torch_distributions(q: Posterior) -> None:
    z = draw(7, 3)
    expected = -Normal(q.mean, q.log_variance.exp().sqrt()).log_prob(z)
    torch.testing.assert_close(gaussian_nll(q, z), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_likelihood_loss_by_loops(q: Posterior, beta: float) -> None:
    z = draw(7, 3)
    mean, variance, codes = q.mean.numpy(), np.exp(q.log_variance.numpy()), z.numpy()
    total = 0.0
    for i in range(7):
        for j in range(3):
            nll = ((codes[i, j] - mean[i, j]) ** 2 / variance[i, j] + np.log(variance[i, j]) + np.log(2 * np.pi)) / 2
            total += variance[i, j] ** beta * nll
    assert likelihood_loss(gaussian_nll(q, z), q, beta).item() == pytest.approx(total / 7, rel=1e-12)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_the_weight_has_no_gradient_of_its_own(beta: float) -> None:
    z, mean, log_variance = draw(7, 3), draw(7, 3, seed=1).requires_grad_(), draw(7, 3, seed=2).requires_grad_()
    q = Posterior(mean, log_variance)
    got = torch.autograd.grad(likelihood_loss(gaussian_nll(q, z), q, beta), (mean, log_variance))
    variance = log_variance.detach().exp()
    error = mean.detach() - z
    by_hand = (variance**beta * error / variance / 7, variance**beta * (1 - error.square() / variance) / 2 / 7)
    torch.testing.assert_close(got, by_hand, rtol=1e-12, atol=1e-12)


def test_equation_7_is_binary_cross_entropy() -> None:
    V, raw = VALUE_FUNCTIONS["gan"], 3 * draw(50)
    ones, zeros = torch.ones_like(raw), torch.zeros_like(raw)
    torch.testing.assert_close(V.real(raw), F.binary_cross_entropy(raw.sigmoid(), ones), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(V.fake(raw), F.binary_cross_entropy(raw.sigmoid(), zeros), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(V.generator(raw), -raw.sigmoid().log().mean(), rtol=1e-12, atol=1e-12)


def test_equation_7_stays_finite_where_a_sigmoid_would_not() -> None:
    raw = torch.tensor([-1000.0, 1000.0], requires_grad=True)
    for loss in VALUE_FUNCTIONS["gan"]:
        (gradient,) = torch.autograd.grad(loss(raw), raw)
        assert loss(raw).isfinite()
        assert gradient.isfinite().all()


def test_equation_6_as_printed() -> None:
    """V = E_q[D(x)] + E_p[-exp(D(G(z)) - 1)]: D ascends it, G descends it."""
    V, real, fake = VALUE_FUNCTIONS["f-gan"], draw(50, seed=1), draw(50, seed=2)
    value = np.mean(real.numpy()) - np.mean(np.exp(fake.numpy() - 1))
    assert (V.real(real) + V.fake(fake)).item() == pytest.approx(-value, rel=1e-12)
    assert V.generator(fake).item() == pytest.approx(-np.mean(np.exp(fake.numpy() - 1)), rel=1e-12)


def test_equation_6_swapped() -> None:
    """V = E_p[D(G(z))] - E_q[exp(D(x) - 1)] (science.md 1): D ascends it, G descends it."""
    V, real, fake = VALUE_FUNCTIONS["f-gan-swapped"], draw(50, seed=1), draw(50, seed=2)
    value = np.mean(fake.numpy()) - np.mean(np.exp(real.numpy() - 1))
    assert (V.real(real) + V.fake(fake)).item() == pytest.approx(-value, rel=1e-12)
    assert V.generator(fake).item() == pytest.approx(np.mean(fake.numpy()), rel=1e-12)


@pytest.mark.parametrize("name", VALUE_FUNCTIONS)
def test_the_generator_pushes_against_the_discriminator(name: str) -> None:
    """G raises D(G(z)) where D takes raw > 0 for real (equation 7), and descends V where it is an f-divergence's."""
    raw = draw(20).requires_grad_()
    V = VALUE_FUNCTIONS[name]
    (of_d,), (of_g,) = (torch.autograd.grad(loss(raw), raw) for loss in (V.fake, V.generator))
    assert (of_d * of_g < 0).all()
