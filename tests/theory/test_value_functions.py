"""What each value function's best discriminator is, and the divergence that it then measures (science.md 1).

p and q are Gaussians on the line. Losses are means over midpoint quantiles, which are quadratures of expectations.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from linear_gaussians import Gaussian, kl
from torch import Tensor
from torch.distributions import Normal

from aimgan.objectives.terms import GAMES, gradient_penalty

N = 40_001
M, S, M_Q, S_Q = torch.tensor([0.4, 1.0, -0.3, 1.15], dtype=torch.float64)
p, q = Normal(M, S), Normal(M_Q, S_Q)  # the generator's x, the data
LEVELS = (torch.arange(N, dtype=torch.float64) + 0.5) / N
X_P, X_Q = p.icdf(LEVELS), q.icdf(LEVELS)


def log_ratio(x: Tensor) -> Tensor:
    """log q(x) / p(x)."""
    return q.log_prob(x) - p.log_prob(x)


def divergence(a: Normal, b: Normal) -> float:
    gaussians = [Gaussian(np.array([n.loc.item()]), np.array([[n.scale.item() ** 2]])) for n in (a, b)]
    return kl(*gaussians)


BEST = {  # raw D*, and the value there
    "gan": log_ratio,
    "f-gan": lambda x: 1 + log_ratio(x),
    "f-gan-swapped": lambda x: 1 - log_ratio(x),
}


def jensen_shannon(p: Normal = p) -> Tensor:
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    step = 24 / 200_000
    log_m = torch.logaddexp(p.log_prob(x), q.log_prob(x)) - math.log(2)
    parts = [((n.log_prob(x) - log_m) * n.log_prob(x).exp()).sum() * step for n in (p, q)]
    return torch.stack(parts).sum() / 2


def value(name: str, perturbation: Tensor | None = None) -> float:
    """V = -(D's loss) at D* plus a perturbation: coefficients of 1, x, sin x, cos 2x."""
    c = torch.zeros(4, dtype=torch.float64) if perturbation is None else perturbation

    def D(x: Tensor) -> Tensor:
        return BEST[name](x) + torch.stack([torch.ones_like(x), x, x.sin(), (2 * x).cos()], dim=1) @ c

    L_real, L_fake, _ = GAMES[name](D(X_Q), D(X_P))
    return -(L_real + L_fake).item()


def of_generator(name: str, rho_p: Tensor) -> Tensor:
    """G's loss where D answers rho_p; it does not depend on D(x)."""
    return GAMES[name](torch.zeros_like(rho_p), rho_p)[2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gan", 2 * jensen_shannon().item() - 2 * math.log(2)),
        ("f-gan", divergence(q, p)),
        ("f-gan-swapped", divergence(p, q)),
    ],
)
def test_the_value_at_the_best_discriminator(name: str, expected: float) -> None:
    """Equation 6 as printed is KL(q || p), data to model; exchanged it is KL(p || q), which term I needs."""
    assert value(name) == pytest.approx(expected, abs=5e-4)
    assert abs(divergence(q, p) - divergence(p, q)) > 0.05  # so that the test can tell them apart


@pytest.mark.parametrize("name", BEST)
def test_any_other_discriminator_gives_less(name: str) -> None:
    directions = torch.eye(4, dtype=torch.float64)
    random = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for direction in [*directions, *random]:
        for size in (-0.3, -0.05, 0.05, 0.3):
            assert value(name, size * direction) < value(name) - 1e-5


def test_the_generator_of_the_swapped_form_descends_the_kl() -> None:
    """At D*, the gradient of E[D(G(z))] for G(z) = m + s z is that of KL(N(m, s^2) || q)."""
    m, s = M.clone().requires_grad_(), S.clone().requires_grad_()
    z = Normal(0.0, 1.0).icdf(LEVELS)
    loss = of_generator("f-gan-swapped", BEST["f-gan-swapped"](m + s * z))
    exact = torch.log(S_Q / s) + (s**2 + (m - M_Q) ** 2) / (2 * S_Q**2) - 0.5
    assert exact.item() == pytest.approx(divergence(p, q), rel=1e-9)
    got, expected = (torch.stack(torch.autograd.grad(f, (m, s), retain_graph=True)) for f in (loss, exact))
    torch.testing.assert_close(got, expected, atol=2e-3, rtol=0)


def test_the_generator_of_equation_7_descends_the_kl_less_twice_jensen_shannon() -> None:
    """At D*, the gradient of -E[log D(G(z))] is that of KL(p || q) - 2 JS(p, q): no KL (Arjovsky & Bottou 2017)."""
    m, s = M.clone().requires_grad_(), S.clone().requires_grad_()
    z = Normal(0.0, 1.0).icdf(LEVELS)
    loss = of_generator("gan", BEST["gan"](m + s * z))
    exact = torch.log(S_Q / s) + (s**2 + (m - M_Q) ** 2) / (2 * S_Q**2) - 0.5
    got, of_kl, expected = (
        torch.stack(torch.autograd.grad(f, (m, s), retain_graph=True))
        for f in (loss, exact, exact - 2 * jensen_shannon(Normal(m, s)))
    )
    torch.testing.assert_close(got, expected, atol=2e-3, rtol=0)
    assert ((got - of_kl).abs() > 0.05).all()


@pytest.mark.parametrize(
    ("name", "raw", "slope"), [("gan", -20.0, -1.0), ("f-gan", -20.0, 0.0), ("f-gan-swapped", 20.0, 1.0)]
)
def test_what_is_left_of_the_generators_gradient_where_d_is_sure(name: str, raw: float, slope: float) -> None:
    """D is sure that x is generated. Equation 7 would saturate too, did G descend V itself."""
    output = torch.tensor([raw], dtype=torch.float64, requires_grad=True)
    (got,) = torch.autograd.grad(of_generator(name, output), output)
    assert got.item() == pytest.approx(slope, abs=1e-8)
    if name == "gan":
        (of_v,) = torch.autograd.grad(-GAMES[name](output, output)[1], output)
        assert of_v.item() == pytest.approx(0, abs=1e-8)


# The game of pairs: expectations over x ~ q and x~ ~ p apart, on a grid of both.


@pytest.mark.parametrize("gamma", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("name", ["gan", "relativistic"])
def test_the_penalty_makes_the_dirac_gan_converge(name: str, gamma: float) -> None:
    """Data at 0, G(z) = theta, D(x) = psi x (Mescheder et al., 2018, sections 2 and 4): both eigenvalues of the
    simultaneous descent at rest have real part 0 without R1 and R2, and a negative one with them.
    """
    theta, psi, x = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(3))
    rho_q, rho_p = psi * x, psi * theta
    L_real, L_fake, L_g = GAMES[name](rho_q, rho_p)
    L_d = L_real + L_fake + gamma / 2 * (gradient_penalty(rho_q, x) + gradient_penalty(rho_p, theta))
    field = [-torch.autograd.grad(loss, player, create_graph=True)[0] for loss, player in ((L_g, theta), (L_d, psi))]
    rows = [torch.cat(torch.autograd.grad(f, (theta, psi), retain_graph=True, materialize_grads=True)) for f in field]
    eigenvalues = np.linalg.eigvals(torch.stack(rows).numpy())  # of [[0, 1/2], [-1/2, -2 gamma]]
    assert eigenvalues.sum() == pytest.approx(-2 * gamma)
    assert eigenvalues.prod() == pytest.approx(0.25)
    assert eigenvalues.real.max() == pytest.approx(-gamma + max(gamma**2 - 0.25, 0) ** 0.5)
