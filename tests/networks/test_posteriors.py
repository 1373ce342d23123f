"""What an encoder answers, for each kind of POSTERIORS, in each family of networks; and the generator from a sphere."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.networks import (
    MLP,
    POSTERIORS,
    FromSphere,
    ImplicitPosterior,
    Networks,
    Posterior,
    Residual,
    Table3,
    Table4,
)
from aimgan.networks.posterior import fixed_noise, half, on_sphere

N, DIM = 6, 5
FAMILIES: dict[str, Networks] = {
    "mlp": MLP(shape=(2,), dim=DIM, width=8),
    "images": MLP(shape=(1, 4, 4), dim=DIM, width=8),
    "table3": Table3(dim=DIM),
    "table4": Table4(shape=(3, 8, 8), dim=DIM, width=16),
    "residual": Residual(shape=(1, 8, 8), dim=DIM, width=16),
}
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def answer(family: Networks, kind: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.rand(N, *family.shape)
        return family.E(reads_features=False, posterior=kind)(x)


def gradient_reaches_all(E: nn.Module, out: Tensor) -> bool:
    found = torch.autograd.grad(out.square().sum(), [*E.parameters()], allow_unused=True)
    return all(g is not None and g.isfinite().all() for g in found)


@every_family
@pytest.mark.parametrize("kind", POSTERIORS)
def test_every_kind_of_every_family_has_moments_and_samples(family: Networks, kind: str) -> None:
    q = answer(family, kind)
    assert q.mean.shape == q.log_variance.shape == (N, DIM)
    z = q.sample(4, noise.generator(1))
    assert z.shape == (4, N, DIM)
    assert z.isfinite().all()
    assert torch.equal(z, q.sample(4, noise.generator(1)))


@every_family
@pytest.mark.parametrize("kind", POSTERIORS)
def test_an_encoder_reads_features_or_x_and_has_no_idle_layer(family: Networks, kind: str) -> None:
    x, D = torch.rand(N, *family.shape), family.D()
    for E, inputs in ((family.E(True, kind), D.features(x).detach()), (family.E(False, kind), x)):
        z = E(inputs).sample(1, noise.generator(2))[0]
        assert gradient_reaches_all(E, z)


@every_family
@pytest.mark.parametrize("kind", ["point", "sphere"])
def test_a_point_has_no_variance_and_no_density(family: Networks, kind: str) -> None:
    q = answer(family, kind)
    assert torch.equal(q.variance, torch.zeros(N, DIM))
    assert torch.equal(q.sample(3, noise.generator(1)), q.mean.expand(3, N, DIM))
    with pytest.raises(AimganError, match="a deterministic encoder has no density"):
        q.log_prob(q.mean)


def test_a_generator_from_the_sphere_reads_the_direction_only() -> None:
    G, z = FromSphere(nn.Identity()), torch.randn(N, DIM)
    torch.testing.assert_close(G(z), G(7 * z))
    torch.testing.assert_close(G(z).norm(dim=1), torch.full((N,), math.sqrt(DIM)))
    torch.testing.assert_close(nn.functional.cosine_similarity(G(z), z), torch.ones(N))
    torch.testing.assert_close(on_sphere(G(z)), G(z))


@every_family
def test_a_partial_posterior_keeps_the_prior_of_the_rest(family: Networks) -> None:
    q = answer(family, "partial")
    inferred = half(DIM)
    assert inferred == 3
    assert isinstance(q, Posterior)
    assert torch.equal(q.mean[:, inferred:], torch.zeros(N, DIM - inferred))
    assert torch.equal(q.variance[:, inferred:], torch.ones(N, DIM - inferred))
    assert q.mean[:, :inferred].abs().min() > 0
    z = torch.randn(N, DIM)
    first = Posterior(q.mean[:, :inferred], q.log_variance[:, :inferred]).log_prob(z[:, :inferred])
    rest = -0.5 * (z[:, inferred:].square() + math.log(2 * math.pi)).sum(dim=1)
    torch.testing.assert_close(q.log_prob(z), first + rest)


def test_the_variance_floor_reaches_the_inferred_half() -> None:
    E = MLP(shape=(2,), dim=4, width=8, min_log_variance=-3.0).E(False, "partial")
    q = E(1000 * torch.randn(50, 2))
    assert q.log_variance.min() >= -3
    assert torch.equal(q.log_variance[:, 2:], torch.zeros(50, 2))


@every_family
def test_an_unknown_kind_is_refused(family: Networks) -> None:
    with pytest.raises(AimganError, match="unknown posterior 'gausian'; did you mean 'gaussian'"):
        family.E(posterior="gausian")


# An implicit posterior: samples, and the moments of many of them.


def implicit() -> tuple[nn.Module, Tensor]:
    """E and x, in float64, with enough spread that moments mean something."""
    E, x = MLP(shape=(2,), dim=3, width=16).E(False, "implicit").double(), 4 * torch.randn(N, 2).double()
    with torch.no_grad():
        for parameter in E.parameters():
            parameter *= 2
    return E, x


def test_an_implicit_posteriors_samples_are_its_networks_outputs_with_fresh_noise() -> None:
    E, x = implicit()
    q = E(x)
    assert isinstance(q, ImplicitPosterior)
    z = q.sample(4, noise.generator(1))
    eps = torch.randn(N, 4, 3, generator=noise.generator(1), dtype=torch.float64)
    for m in range(4):
        for i in range(N):
            alone = q.network(torch.cat([q.f[i], eps[i, m]])[None])[0]
            torch.testing.assert_close(z[m, i], alone)
    with noise.stream(noise.generator(1)):
        first, second = q.sample(1), q.sample(1)
    assert not torch.equal(first, second)


def test_an_implicit_posteriors_samples_in_a_stream_are_shared_by_rank() -> None:
    E, x = implicit()
    with noise.stream(noise.generator(3)):
        whole = E(x).sample(4)
    for rank in range(2):
        with noise.stream(noise.generator(3), rank, 2):
            torch.testing.assert_close(E(x[3 * rank :][:3]).sample(4), whole[:, 3 * rank :][:, :3])


@torch.no_grad()
def test_an_implicit_posteriors_moments_are_those_of_many_samples() -> None:
    E, x = implicit()
    q = E(x)
    many = q.sample(20_000, noise.generator(1))
    mean, std = many.mean(dim=0), many.std(dim=0)
    draws = len(fixed_noise(1))
    assert ((q.mean - mean).abs() < 5 * std / math.sqrt(draws)).all()
    assert ((q.log_variance.exp().sqrt() / std - 1).abs() < 5 / math.sqrt(2 * draws)).all()


def test_a_constant_implicit_posterior_has_a_finite_log_variance() -> None:
    q = ImplicitPosterior(nn.Linear(2 + 1, 1).requires_grad_(False), torch.zeros(3, 2), 1, fixed_noise(1))
    nn.init.zeros_(q.network.weight)  # type: ignore[arg-type]
    assert q.log_variance.isfinite().all()
