"""Each baseline's step against its algorithm written out naively (naive.py): losses, gradients, players, order."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import naive
import pytest
import torch
from torch import Tensor, nn

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.networks import MLP, Networks, Residual, StandardNormal
from aimgan.objectives import OBJECTIVES, Update
from aimgan.recipes.assemble import make_player, player_names
from aimgan.training.engine import players

N, DIM, LR = 5, 3, 0.001
POINTS, IMAGES = MLP(shape=(2,), dim=DIM, width=8), MLP(shape=(1, 2, 2), dim=DIM, width=8)
TRIPLES = MLP(shape=(DIM,), dim=DIM, width=8)  # samples and codes of one size
FOR_OPTIONS = {"orthogonal_weight": Residual(shape=(1, 8, 8), dim=DIM, width=16), "identity": TRIPLES}


def make(name: str, family: Networks = POINTS, **options: Any) -> Any:
    cls = cast(Any, OBJECTIVES[name])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = {key: make_player(key, family, cls).double() for key in player_names(name, options)}
        for parameter in (p for network in made.values() for p in network.parameters()):
            parameter.data *= 2  # codes and images that differ: fresh networks are nearly constant
    return cls(**made, prior=StandardNormal(DIM).double(), **options)


def batch(shape: tuple[int, ...]) -> Tensor:
    x = torch.randn(N, *shape, generator=noise.generator(5), dtype=torch.float64)
    return x if len(shape) == 1 else x.sigmoid()


def drawn_again() -> Callable[[], list[Tensor]]:
    """The draws that an objective makes inside `noise.stream(noise.generator(4))`, one after another."""
    source = noise.generator(4)
    return lambda: [*torch.randn(N, DIM, generator=source, dtype=torch.float64).split(1)]


def gradients(loss: Tensor, networks: tuple[nn.Module, ...]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [p for n in networks for p in n.parameters()], retain_graph=True))


def assert_close(got: Any, expected: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def descend(networks: tuple[nn.Module, ...], by: list[Tensor], clip: float | None) -> None:
    for parameter, gradient in zip([p for n in networks for p in n.parameters()], by, strict=True):
        parameter -= LR * gradient
        if clip is not None:
            parameter[parameter > clip] = clip
            parameter[parameter < -clip] = -clip


CASES: list[tuple[str, Callable[..., naive.Stages], dict[str, Any]]] = [
    ("ali", naive.ali, {}),
    ("bigan", naive.bigan, {}),
    ("alice", naive.alice, {"cycle": "l1", "weight": 0.3}),
    ("alice", naive.alice, {}),
    ("alice", naive.alice, {"cycle": "adversarial", "weight": 0.3}),
    ("veegan", naive.veegan, {}),
    ("veegan", naive.veegan, {"weight": 0.3}),
    ("vae", naive.vae, {"sigma": 0.5}),
    ("vae", naive.vae, {"likelihood": "bernoulli"}),
    ("aae", naive.aae, {"weight": 0.3}),
    ("vae-gan", naive.vae_gan, {"weight": 0.3}),
    ("ian", naive.ian, {}),
    ("ian", naive.ian, {"pixel_weight": 0.3, "orthogonal_weight": 0.1}),
    ("cyclegan", naive.cyclegan, {"history": "none"}),
    ("cyclegan", naive.cyclegan, {"history": "none", "weight": 0.3, "identity": 0.5}),
    ("discogan", naive.discogan, {}),
    ("discogan", naive.discogan, {"weight": 0.3}),
    ("dualgan", naive.dualgan, {}),
    ("dualgan", naive.dualgan, {"weight": 0.3, "clip": 0.5, "critic_steps": 2}),
    ("avb", naive.avb, {"sigma": 0.5}),
    ("avb", naive.avb, {"likelihood": "bernoulli"}),
    ("age", naive.age, {"data_weight": 0.3, "code_weight": 7.0}),
    ("infogan", naive.infogan, {"weight": 0.3}),
    ("mdgan", naive.mdgan, {}),
    ("mdgan", naive.mdgan, {"variant": "manifold-diffusion", "adversarial_weight": 0.3}),
    ("symmetric-vae", naive.symmetric_vae, {"weight": 0.3, "sigma": 0.5}),
    ("inversion", naive.inversion, {}),
]


@pytest.mark.parametrize(
    ("name", "algorithm", "options"), CASES, ids=["-".join([name, *map(str, o.values())]) for name, _, o in CASES]
)
def test_a_step_is_its_algorithm(name: str, algorithm: Callable[..., naive.Stages], options: dict[str, Any]) -> None:
    """Stage by stage, the networks moved in between: a stage that read stale networks would differ."""
    family: Networks = IMAGES if "bernoulli" in options.values() else POINTS
    family = next((FOR_OPTIONS[option] for option in options if option in FOR_OPTIONS), family)
    objective, x = make(name, family, **options), batch(family.shape)
    tolerance = 1e-11 if name == "age" else 1e-12  # variances of close codes cancel
    expected = algorithm(objective, [*x.split(1)], drawn_again())
    named = {id(network): player for player, network in players(objective).items()}
    with noise.stream(noise.generator(4)):
        for updates in objective.step(x):
            stage, moves = next(expected), []
            for update in updates if isinstance(updates, tuple) else (updates,):
                moved = " ".join(named[id(network)] for network in update.networks)
                loss = stage.pop(moved)
                assert update.rate == 1
                assert update.clip == (getattr(objective, "clip", None) if moved.startswith("D") else None)
                assert_close(update.loss, loss, tolerance)
                moves.append((update.networks, gradients(update.loss, update.networks), update.clip))
                assert_close(moves[-1][1], gradients(loss, update.networks), tolerance)
            assert not stage
            for networks, by, clip in moves:
                descend(networks, by, clip)
    assert next(expected, None) is None


def test_every_baseline_has_a_case() -> None:
    own_test = {"aim", "aim-minus", "gan", "unrolled-gan"}
    assert {name for name, *_ in CASES} | own_test == {*OBJECTIVES}


# Unrolled GAN: k steps of gradient descent on a copy of D, and finite differences of that for G's gradient.


def losses_of(D: nn.Module, x: Tensor, x_z: Tensor) -> Tensor:
    rows, made = [*x.split(1)], [*x_z.split(1)]
    return naive.says_real(D, rows) + naive.says_generated(D, made)


def value_for_g(objective: Any, x: Tensor, z: Tensor) -> float:
    """G's loss by hand: a copy of D, moved k times by plain descent, G held still."""
    x_z, D = objective.G(z).detach(), deepcopy(objective.D)
    descent = torch.optim.SGD(D.parameters(), lr=objective.inner_lr)
    for _ in range(objective.unrolling):
        descent.zero_grad()
        losses_of(D, x, x_z).backward()
        descent.step()
    if objective.generator == "non-saturating":
        return naive.says_real(D, [*x_z.split(1)]).item()
    return -losses_of(D, x, x_z).item()


def step_of(objective: Any, x: Tensor) -> tuple[Update, Update]:
    with noise.stream(noise.generator(4)):
        ((of_d, of_g),) = objective.step(x)
    return of_d, of_g


every_unrolling = pytest.mark.parametrize("steps", [0, 1, 3])
every_generator = pytest.mark.parametrize("generator", ["minimax", "non-saturating"])


@every_unrolling
@every_generator
def test_unrolled_gan_is_k_steps_on_a_copy(steps: int, generator: str) -> None:
    objective, x = make("unrolled-gan", unrolling=steps, inner_lr=0.7, generator=generator), batch((2,))
    before = deepcopy(objective.D.state_dict())
    of_d, of_g = step_of(objective, x)
    z = torch.cat(drawn_again()())
    assert (of_d.networks, of_g.networks) == ((objective.D,), (objective.G,))
    assert (of_d.rate, of_g.rate) == (objective.discriminator_rate, 1.0)
    L_d = losses_of(objective.D, x, objective.G(z))
    assert_close(of_d.loss, L_d)
    assert_close(gradients(of_d.loss, (objective.D,)), gradients(L_d, (objective.D,)))
    assert of_g.loss.item() == pytest.approx(value_for_g(objective, x, z), rel=1e-12)
    assert_close(dict(objective.D.state_dict()), dict(before), 0.0)  # the inner steps are thrown away


@every_unrolling
@every_generator
def test_unrolled_gans_gradient_goes_through_the_inner_steps(steps: int, generator: str) -> None:
    objective, x = make("unrolled-gan", unrolling=steps, inner_lr=0.7, generator=generator), batch((2,))
    z, by = torch.cat(drawn_again()()), gradients(step_of(objective, x)[1].loss, (objective.G,))
    parameters = [*objective.G.parameters()]
    for seed in range(3):
        source = torch.Generator().manual_seed(seed)
        along = [torch.randn(p.shape, generator=source, dtype=torch.float64) for p in parameters]

        @torch.no_grad()
        def shift(h: float, along: list[Tensor] = along) -> None:
            for parameter, direction in zip(parameters, along, strict=True):
                parameter += h * direction

        def value(h: float, shift: Callable[[float], None] = shift) -> float:
            shift(h)
            made = value_for_g(objective, x, z)
            shift(-h)
            return made

        slope = (value(1e-6) - value(-1e-6)) / 2e-6
        expected = sum((a * b).sum().item() for a, b in zip(by, along, strict=True))
        assert slope == pytest.approx(expected, rel=1e-5, abs=1e-8)


# Wrong options are refused when the objective is made.


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("aim", {"value": "fgan"}, "unknown value of value 'fgan'; did you mean 'f-gan'"),
        ("aim", {"weight": math.nan}, "weight is nan; expected a finite number >= 0"),
        ("aim", {"beta": 0.5}, "beta is 0.5, but weighting is none"),
        *((name, {"penalty": -1.0}, "penalty is -1.0; expected a finite number >= 0") for name in ("aim", "gan")),
        ("alice", {"cycle": "l3"}, "unknown value of cycle 'l3'"),
        ("mdgan", {"variant": "regularized"}, "unknown value of variant 'regularized'; did you mean 'regularised'"),
        ("vae", {"likelihood": "gausian"}, "unknown value of likelihood 'gausian'; did you mean 'gaussian'"),
        ("unrolled-gan", {"unrolling": -1}, "unrolling is -1; expected"),
        ("unrolled-gan", {"discriminator_rate": 0.0}, "discriminator_rate is 0.0; expected a finite number > 0"),
        ("mdgan", {"data_weight": -0.1}, "data_weight is -0.1; expected a finite number >= 0"),
        ("age", {"data_weight": -1.0}, "data_weight is -1.0"),
        ("cyclegan", {"history": "pol"}, "unknown value of history 'pol'; did you mean 'pool'"),
        ("dualgan", {"clip": 0.0}, "clip is 0.0; expected a finite number > 0"),
        ("dualgan", {"critic_steps": 0}, "critic_steps is 0; expected a number >= 1"),
        ("ian", {"orthogonal_weight": -1.0}, "orthogonal_weight is -1.0; expected a finite number >= 0"),
        ("aae", {"weight": 0.0}, "weight is 0.0; expected a finite number > 0"),
        *((name, {"sigma": 0.0}, "sigma is 0.0; expected a finite number > 0") for name in ("vae", "avb")),
        *((n, {"weight": -1.0}, "weight is -1.0") for n in ("alice", "veegan", "vae-gan", "infogan", "symmetric-vae")),
    ],
)
def test_a_wrong_option_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AimganError, match=message):
        make(name, **options)


@pytest.mark.parametrize(("name", "player"), [("alice", "D_xx"), ("mdgan", "D_m")])
def test_an_optional_player_is_given_exactly_when_its_option_selects_it(name: str, player: str) -> None:
    cls = cast(Any, OBJECTIVES[name])
    option, value = cls.only_with[player]
    with_it, without = make(name, **{option: value}), make(name)
    with pytest.raises(AimganError, match=f"{player} is missing, but {option} is {value}; expected a network {player}"):
        cls(**players(without), prior=without.prior, **{option: value})
    with pytest.raises(AimganError, match=f"{player} is given, but {option} is .*; expected {option} {value}, or no"):
        cls(**players(with_it), prior=without.prior)
