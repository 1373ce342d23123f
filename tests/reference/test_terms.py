"""Every loss term against an independent implementation, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from aimgan.networks import MLP, Networks, Posterior, Table3, Table4
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


def assert_close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
