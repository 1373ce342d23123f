"""AIM's step against Algorithm 1 (and AIM-, GAN) written out naively: sigmoids, logarithms, loops, separate passes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from aimgan import noise
from aimgan.networks import MLP, StandardNormal
from aimgan.objectives import Update
from aimgan.objectives.aim import AIM
from aimgan.objectives.aim_minus import AIMMinus
from aimgan.objectives.gan import GAN

N, DIM = 5, 3
FAMILY = MLP(shape=(2,), dim=DIM, width=8)


def aim(**options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AIM(FAMILY.G().double(), FAMILY.E().double(), FAMILY.D().double(), prior(), **options)


def prior() -> StandardNormal:
    return StandardNormal(DIM).double()


def codes_of_step() -> Tensor:
    return torch.randn(N, DIM, generator=noise.generator(4), dtype=torch.float64)


def batch() -> Tensor:
    return torch.randn(N, 2, generator=noise.generator(5), dtype=torch.float64)


def updates_of(objective: Any) -> tuple[Update, ...]:
    with noise.stream(noise.generator(4)):
        (updates,) = objective.step(batch())
    return updates


def L(z: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Equation 8 for one sample."""
    total = torch.zeros((), dtype=torch.float64)
    for j in range(len(z)):
        total = total + (z[j] - mean[j]) ** 2 / variance[j] + torch.log(variance[j]) + math.log(2 * math.pi)
    return total / 2


def losses(objective: Any) -> dict[str, Tensor]:
    """Algorithm 1's losses, without lambda: one pass for each use of a network."""
    x, z = batch(), codes_of_step()
    rho_q = [torch.sigmoid(objective.D(x[i : i + 1])[0]) for i in range(N)]
    rho_p = [torch.sigmoid(objective.D(objective.G(z[j : j + 1]))[0]) for j in range(N)]
    made = {
        "real": sum(-torch.log(rho) for rho in rho_q) / N,
        "fake": sum(-torch.log(1 - rho) for rho in rho_p) / N,
        "adversarial": sum(-torch.log(rho) for rho in rho_p) / N,
    }
    if hasattr(objective, "E"):
        q = [objective.E(objective.D.features(objective.G(z[j : j + 1]))) for j in range(N)]
        made["nll"] = sum(L(z[j], q[j].mean[0], torch.exp(q[j].log_variance[0])) for j in range(N)) / N
    return made  # type: ignore[return-value]


def gradients(loss: Tensor, *networks: torch.nn.Module) -> list[Tensor]:
    parameters = [p for network in networks for p in network.parameters()]
    return list(torch.autograd.grad(loss, parameters, retain_graph=True))


def assert_close(got: Any, expected: Any) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weight", [None, 0.0, 2.5])
def test_aim_is_algorithm_1(weight: float | None) -> None:
    objective = aim(weight=weight)
    of_d, of_rec = updates_of(objective)
    expected = losses(objective)
    L_d = expected["real"] + expected["fake"]
    L_rec = expected["adversarial"] + (1 / DIM if weight is None else weight) * expected["nll"]

    assert of_d.networks == (objective.D,)
    assert of_rec.networks == (objective.G, objective.E)
    assert_close(of_d.loss, L_d)
    assert_close(of_rec.loss, L_rec)
    assert_close({**of_d.terms, **of_rec.terms}, expected)
    assert_close(gradients(of_d.loss, objective.D), gradients(L_d, objective.D))
    assert_close(gradients(of_rec.loss, objective.G, objective.E), gradients(L_rec, objective.G, objective.E))


def test_aim_minus_is_aim_with_unit_variance() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        E = FAMILY.E(posterior="unit").double()
        objective: Any = AIMMinus(FAMILY.G().double(), E, FAMILY.D().double(), prior())
    of_d, of_rec = updates_of(objective)
    z = codes_of_step()
    mean = objective.E(objective.D.features(objective.G(z))).mean
    expected = losses(objective)
    squares = sum((z[i, j] - mean[i, j]) ** 2 for i in range(N) for j in range(DIM)) / (2 * N)
    assert_close(expected["nll"], squares + DIM * math.log(2 * math.pi) / 2)
    assert_close(of_d.loss, expected["real"] + expected["fake"])
    assert_close(of_rec.loss, expected["adversarial"] + expected["nll"] / DIM)
    assert of_rec.networks == (objective.G, objective.E)


def test_gan_is_aim_without_an_encoder() -> None:
    whole = aim()
    objective = GAN(whole.G, whole.D, whole.prior)
    of_d, of_g = updates_of(objective)
    expected = losses(objective)
    assert (of_d.networks, of_g.networks) == ((objective.D,), (objective.G,))
    assert_close(of_d.loss, expected["real"] + expected["fake"])
    assert_close(of_g.loss, expected["adversarial"])
    assert_close(gradients(of_d.loss, objective.D), gradients(updates_of(whole)[0].loss, whole.D))


def weighted(objective: Any, beta: float) -> Tensor:
    """Mean over samples of sum_j sg(variance_j)^beta nll_j, by loops."""
    z, total = codes_of_step(), torch.zeros((), dtype=torch.float64)
    q = objective.E(objective.D.features(objective.G(z)))
    for i in range(N):
        for j in range(DIM):
            variance = torch.exp(q.log_variance[i, j])
            total = total + variance.item() ** beta * L(z[i, j : j + 1], q.mean[i, j : j + 1], variance[None])
    return total / N


@pytest.mark.parametrize("beta", [0.5, 1.0])
@pytest.mark.parametrize(("weighting", "of_g", "of_e"), [("both", 1, 1), ("encoder", 0, 1), ("generator", 1, 0)])
def test_each_weighting_reaches_whom_it_names(weighting: str, of_g: int, of_e: int, beta: float) -> None:
    objective = aim(weighting=weighting, beta=beta, weight=0.7)
    updates = updates_of(objective)
    assert [network for update in updates for network in update.networks] == [objective.D, objective.G, objective.E]
    seen = {id(network): update.loss for update in updates for network in update.networks}
    L_g = losses(objective)["adversarial"]
    for player, share in ((objective.G, of_g), (objective.E, of_e)):
        expected = L_g + 0.7 * weighted(objective, beta * share)
        assert_close(gradients(seen[id(player)], player), gradients(expected, player))
    assert_close(updates[1].terms["nll"], losses(objective)["nll"])  # the log has the unweighted one, always


def squared_slope(D: Any, x: Tensor) -> Tensor:
    """|grad_x D(x)|^2 for one sample, x a leaf: nothing of it reaches a generator."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(D(x)[0], x, create_graph=True)
    return sum(s**2 for s in slope.flatten())  # type: ignore[return-value]


@pytest.mark.parametrize("gamma", [0.0, 0.3])
@pytest.mark.parametrize("name", ["aim", "gan"])
def test_the_game_of_pairs_with_its_penalties_by_loops(name: str, gamma: float) -> None:
    """R3GAN's losses, one pair at a time; AIM adds its likelihood. R1 and R2 are in D's loss alone."""
    objective: Any = aim(value="relativistic", penalty=gamma)
    if name == "gan":
        objective = GAN(objective.G, objective.D, objective.prior, "relativistic", gamma)
    x, x_z = batch(), [objective.G(z) for z in codes_of_step().split(1)]
    pairs = [(objective.D(x[i : i + 1])[0], objective.D(x_z[i])[0]) for i in range(N)]
    L_d = sum(-torch.log(torch.sigmoid(a - b)) for a, b in pairs) / N
    L_g = sum(-torch.log(torch.sigmoid(b - a)) for a, b in pairs) / N
    penalties = sum(squared_slope(objective.D, x[i : i + 1]) + squared_slope(objective.D, x_z[i]) for i in range(N)) / N
    L_rec = L_g + losses(objective)["nll"] / DIM if name == "aim" else L_g

    of_d, of_g = updates_of(objective)
    assert_close(of_d.loss, L_d + gamma / 2 * penalties)
    assert_close(of_g.loss, L_rec)
    assert_close(gradients(of_d.loss, objective.D), gradients(L_d + gamma / 2 * penalties, objective.D))
    assert_close(gradients(of_g.loss, *of_g.networks), gradients(L_rec, *of_g.networks))  # type: ignore[arg-type]
    assert ("penalty" in of_d.terms) == (gamma > 0)
    if gamma:
        assert_close(of_d.terms["penalty"], penalties)


def test_lambda_is_one_over_d_unless_it_is_given() -> None:
    assert aim().weight == 1 / DIM
    assert aim(weight=0.0).weight == 0.0
    assert aim(weight=2).weight == 2
