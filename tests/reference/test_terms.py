"""Every loss term against an independent implementation, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence
from torch.nn import functional as F

from aimgan.networks import MLP, Networks, Posterior, Table3, Table4
from aimgan.objectives import terms
from aimgan.objectives.terms import GAMES, gaussian_nll, gradient_penalty, likelihood_loss


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
    rho_q, rho_p = 3 * draw(50, seed=1), 3 * draw(50)
    L_real, L_fake, L_g = GAMES["gan"](rho_q, rho_p)
    assert_close(L_real, F.binary_cross_entropy(rho_q.sigmoid(), torch.ones_like(rho_q)))
    assert_close(L_fake, F.binary_cross_entropy(rho_p.sigmoid(), torch.zeros_like(rho_p)))
    assert_close(L_g, -rho_p.sigmoid().log().mean())


def test_equation_7_stays_finite_where_a_sigmoid_would_not() -> None:
    logits = torch.tensor([-1000.0, 1000.0], requires_grad=True)
    for loss in GAMES["gan"](logits, logits):
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert gradient.isfinite().all()


def test_both_forms_of_equation_6() -> None:
    """V = E_q[D(x)] - E_p[exp(D(G(z)) - 1)], and with p and q exchanged (science.md 1): D ascends V, G descends it."""
    rho_q, rho_p = draw(50, seed=1), draw(50, seed=2)
    L_real, L_fake, L_g = GAMES["f-gan"](rho_q, rho_p)
    of_generated = -np.exp(rho_p.numpy() - 1).mean()
    assert (L_real + L_fake).item() == pytest.approx(-(rho_q.numpy().mean() + of_generated), rel=1e-12)
    assert L_g.item() == pytest.approx(of_generated, rel=1e-12)
    L_real, L_fake, L_g = GAMES["f-gan-swapped"](rho_q, rho_p)
    of_data = -np.exp(rho_q.numpy() - 1).mean()
    assert (L_real + L_fake).item() == pytest.approx(-(rho_p.numpy().mean() + of_data), rel=1e-12)
    assert L_g.item() == pytest.approx(rho_p.numpy().mean(), rel=1e-12)


@pytest.mark.parametrize("name", GAMES)
def test_the_generator_pushes_against_the_discriminator(name: str) -> None:
    """G raises D(G(z)) where D takes raw > 0 for real (equation 7), and descends V where it is an f-divergence's."""
    rho_q, rho_p = draw(20), draw(20, seed=1).requires_grad_()
    L_real, L_fake, L_g = GAMES[name](rho_q, rho_p)
    (of_d,), (of_g,) = (torch.autograd.grad(loss, rho_p, retain_graph=True) for loss in (L_real + L_fake, L_g))
    assert (of_d * of_g < 0).all()


def test_the_relativistic_losses_are_cross_entropies_of_pairs() -> None:
    rho_q, rho_p, ones = 3 * draw(50, seed=1), 3 * draw(50, seed=2), torch.ones(50).double()
    L_real, L_fake, L_g = GAMES["relativistic"](rho_q, rho_p)
    assert_close(L_real, L_fake)
    assert_close(L_real + L_fake, F.binary_cross_entropy((rho_q - rho_p).sigmoid(), ones))
    assert_close(L_g, F.binary_cross_entropy((rho_p - rho_q).sigmoid(), ones))
    assert_close(L_g, (L_real + L_fake) + (rho_q - rho_p).mean())  # softplus(t) - softplus(-t) = t
    shifted = GAMES["relativistic"](rho_q + 7, rho_p + 7)
    assert_close(torch.stack(shifted), torch.stack([L_real, L_fake, L_g]))  # D's last bias says nothing


def test_the_gradient_penalty_of_a_quadratic_is_a_closed_form() -> None:
    """D(x) = x' A x / 2 + b' x: the slope is A x + b, and the penalty's own gradient in A and b follows."""
    A, b, x = draw(3, 3), draw(3, seed=1).requires_grad_(), draw(7, 3, seed=2).requires_grad_()
    A = (A + A.T).requires_grad_()
    penalty = gradient_penalty(0.5 * ((x @ A) * x).sum(dim=1) + x @ b, x)
    slope = (x @ A + b).detach()
    assert_close(penalty, slope.square().sum() / 7)
    of_b, of_A = torch.autograd.grad(penalty, (b, A))
    assert_close(of_b, 2 * slope.sum(dim=0) / 7)
    outer = slope.T @ x.detach()
    assert_close(of_A, (outer + outer.T) / 7)


@pytest.mark.parametrize("family", [Table3(dim=2), Table4(shape=(3, 8, 8), dim=2, width=8), MLP(width=8)])
def test_the_gradient_penalty_by_differences_through_layers_in_place(family: Networks) -> None:
    """Its slope in x and its own gradient in a weight. With batch norm the slope is that of the batch's sum."""
    D, x = family.D().double(), draw(6, *family.shape).requires_grad_()
    weight = next(D.parameters())
    penalty = gradient_penalty(D(x), x)
    (slope,) = torch.autograd.grad(D(x).sum(), x)
    (of_weight,) = torch.autograd.grad(penalty, weight)
    assert_close(penalty, slope.square().sum() / 6)
    for at, gradient, of in ((x, slope, lambda: D(x).sum()), (weight, of_weight, lambda: gradient_penalty(D(x), x))):
        assert difference(of, at, gradient / gradient.norm()) == pytest.approx(gradient.norm().item(), rel=1e-4)


def difference(of: Callable[[], Tensor], at: Tensor, direction: Tensor, step: float = 1e-6) -> float:
    """The slope of `of` when `at` moves in place along a direction."""
    values = []
    for signed in (step, -2 * step):
        with torch.no_grad():
            at += signed * direction
        values.append(of().item())
    with torch.no_grad():
        at += step * direction
    return (values[0] - values[1]) / (2 * step)


# The baselines' terms.


def assert_close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_squared_distance_by_loops() -> None:
    a, b = draw(4, 2, 3), draw(4, 2, 3, seed=1)
    total = sum((a[i, j, k] - b[i, j, k]) ** 2 for i in range(4) for j in range(2) for k in range(3))
    assert_close(terms.squared_distance(a, b), total / 4)  # type: ignore[operator]


def test_gaussian_kl_is_that_of_torch_distributions(q: Posterior) -> None:
    prior = Independent(Normal(torch.zeros(7, 3).double(), torch.ones(7, 3).double()), 1)
    kl = kl_divergence(Independent(Normal(q.mean, q.variance.sqrt()), 1), prior)
    assert_close(terms.gaussian_kl(q), kl.mean())
    zeros = torch.zeros(7, 3).double()
    assert terms.gaussian_kl(Posterior(zeros, zeros)).item() == 0


@pytest.mark.parametrize("sigma", [0.05, 1.0, 3.0])
def test_gaussian_likelihood_is_that_of_torch_distributions(sigma: float) -> None:
    x, mean = draw(4, 2, 3), draw(4, 2, 3, seed=1)
    assert_close(terms.gaussian_likelihood(x, mean, sigma), -Independent(Normal(mean, sigma), 2).log_prob(x).mean())


def test_bernoulli_likelihood_is_that_of_torch_distributions_and_of_grey_pixels() -> None:
    rate, x = draw(4, 2, 3).sigmoid(), (draw(4, 2, 3, seed=1) > 0).double()
    assert_close(terms.bernoulli_likelihood(x, rate), -Independent(Bernoulli(rate), 2).log_prob(x).mean())
    r, grey = rate.numpy(), x.numpy() * 0.75 + 0.1
    by_hand = -(grey * np.log(r) + (1 - grey) * np.log(1 - r)).sum() / 4
    assert terms.bernoulli_likelihood(torch.from_numpy(grey), rate).item() == pytest.approx(by_hand, rel=1e-12)
    assert terms.bernoulli_likelihood(x, 1 - x).isfinite()  # a saturated sigmoid


def test_batch_gaussian_kl_is_the_closed_form_of_a_whole_batch() -> None:
    z = 2 * draw(9, 3) + 1
    m, s2 = z.numpy().mean(axis=0), z.numpy().var(axis=0)
    batch = MultivariateNormal(torch.from_numpy(m), torch.diag(torch.from_numpy(s2)))
    prior = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    assert_close(terms.batch_gaussian_kl(z), kl_divergence(batch, prior))
    whitened = torch.from_numpy((z.numpy() - m) / np.sqrt(s2))
    assert terms.batch_gaussian_kl(whitened).item() == pytest.approx(0, abs=1e-12)
