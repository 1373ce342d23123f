"""The residual family: shapes, initial weights, cost, what E answers, saving, and a short training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

import aimgan
from aimgan import noise
from aimgan.errors import AimganError
from aimgan.model import LatentVariableModel, ModelConfig
from aimgan.networks import Networks, Residual, StandardNormal, Table4
from aimgan.networks.residual import GAIN, ResidualBlock
from aimgan.objectives.aim import AIM
from aimgan.objectives.gan import GAN
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine

SMALL = Residual(shape=(1, 8, 8), dim=5, width=16)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def players_of(family: Networks) -> list[nn.Module]:
    return [family.G(), family.D(), family.E(), family.E(False), family.D_z(), family.D_xz(), family.D_xx()]


@pytest.mark.parametrize("side", [8, 16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_at_each_side(side: int, channels: int) -> None:
    family = Residual(shape=(channels, side, side), dim=5, width=128)
    G, D = family.G(), family.D()
    x = G(3 * torch.randn(4, 5))
    assert x.shape == (4, channels, side, side)
    assert -1 <= x.min() < 0 < x.max() <= 1
    assert family.value_range == (-1.0, 1.0)
    f = D.features(x)
    assert f.shape == (4, 128, 4, 4)
    assert D.head(f).shape == D(x).shape == (4,)
    assert family.maps == [128 >> k for k in reversed(range(side.bit_length() - 2))]
    blocks = [m.f[0][0].in_channels for m in D.modules() if isinstance(m, ResidualBlock)]  # type: ignore[index,union-attr]
    assert blocks == family.maps
    assert [m.f[0][0].in_channels for m in G.modules() if isinstance(m, ResidualBlock)] == blocks[::-1]  # type: ignore[index,union-attr]


def test_a_fresh_posterior_is_near_the_prior_but_not_the_prior() -> None:
    q = SMALL.E()(SMALL.features()(torch.rand(6, *SMALL.shape) * 2 - 1))
    assert 0 < q.mean.abs().max() < 1
    assert q.log_variance.abs().max() < 1


# Initial weights: nothing is normalised, so they must carry the scale.


def test_nothing_is_normalised() -> None:
    norms = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
    assert not any(isinstance(m, norms) for network in players_of(SMALL) for m in network.modules())
    assert not any(list(network.buffers()) for network in players_of(SMALL))


def test_a_fresh_block_is_the_identity_and_learns_at_once() -> None:
    block, x = ResidualBlock(16, depth=4), torch.randn(3, 16, 8, 8)
    assert torch.equal(block(x), x)
    (slope,) = torch.autograd.grad(block(x).square().sum(), block.f[2][0].weight)  # type: ignore[index]
    assert slope.abs().min() > 0


@pytest.mark.parametrize("blocks", [1, 3])
def test_weights_are_scaled_by_their_inputs_and_the_depth(blocks: int) -> None:
    D = Residual(width=256, blocks=blocks).D()
    for block in (m for m in D.modules() if isinstance(m, ResidualBlock)):
        for layer in (block.f[0][0], block.f[1][0]):  # type: ignore[index]
            weight = cast(Tensor, layer.weight)
            expected = GAIN / weight[0].numel() ** 0.5 / (4 * blocks) ** 0.25
            assert weight.std().item() == pytest.approx(expected, rel=5 / weight.numel() ** 0.5)
    assert not any(p.any() for name, p in D.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("family", [Residual(), Residual(shape=(3, 64, 64), blocks=2), Residual(width=64)])
def test_outputs_start_of_order_one(family: Residual) -> None:
    with torch.no_grad():
        x = family.G()(torch.randn(64, family.dim))
        raw = family.D()(torch.randn(64, *family.shape).clamp(-1, 1))
    assert 0.2 < x.std() < 0.8
    assert 0.02 < raw.std() < 2


# Cost.


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (Residual(), (594_179, 328_192, 4_097, 828_032)),
        (Residual(shape=(3, 64, 64)), (595_139, 329_152, 4_097, 828_032)),
        (Residual(width=64), (87_443, 20_944, 1_025, 62_816)),
    ],
)
def test_parameter_counts(family: Residual, expected: tuple[int, ...]) -> None:
    with torch.device("meta"):
        G, D, E = family.G(), family.D(), family.E()
    assert (count(G), count(D.features), count(D.head), count(E)) == expected


def step_flops(family: Networks, n: int = 100) -> int:
    class Still:
        def move(self, *_: object) -> None: ...

        def state(self, _: Tensor) -> dict[str, Tensor]:
            return {}

    with torch.device("meta"):
        objective = AIM(family.G(), family.E(), family.D(), StandardNormal(family.dim))
        x = torch.empty(n, *family.shape)
    engine = Engine(objective, Still(), Accelerator(cpu=True, mixed_precision="no"))
    with FlopCounterMode(display=False) as counter:
        engine.step(x, 0, 0.0)
    return counter.get_total_flops()


def test_a_step_of_aim_costs_no_more_than_with_table_4() -> None:
    billions = step_flops(Residual()) / 1e9
    assert billions == pytest.approx(33.4, abs=0.1)
    assert billions < step_flops(Table4(shape=(3, 32, 32), width=256)) / 1e9


# Errors, saving, recipes.


@pytest.mark.parametrize("shape", [(3, 0, 0), (3, 4, 4), (3, 12, 12), (3, 28, 28), (3, 16, 32), (2,), (16, 16)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AimganError, match=r"the residual networks got samples of \(.*\); expected images .*--size"):
        Residual(shape=shape)


@pytest.mark.parametrize("width", [0, 32, 100])
def test_other_widths_are_refused(width: int) -> None:
    with pytest.raises(AimganError, match=f"width is {width} at side 32; expected a multiple of 64"):
        Residual(width=width)


@pytest.mark.parametrize("objective", ["aim", "gan"])
def test_a_model_is_saved_and_loaded(objective: str, tmp_path: Path) -> None:
    posterior = "gaussian" if objective == "aim" else None
    model = LatentVariableModel.build(ModelConfig("residual", asdict(SMALL), objective, posterior, objective == "aim"))
    model.save(tmp_path / "model")
    loaded = aimgan.load(tmp_path / "model")
    z = torch.randn(3, 5)
    x = model.decode(z)
    assert torch.equal(loaded.decode(z), x)
    assert 0 <= x.min() < x.max() <= 1
    if posterior:
        assert torch.equal(loaded.encode(x).mean, model.encode(x).mean)


# Training: two kinds of blobs; a penalised game of pairs stays finite, and E learns its codes.


def blobs(step: int) -> Tensor:
    """8 x 8 images of one bright square, at the left or at the right."""
    noisy = 0.1 * torch.randn(16, 1, 8, 8, generator=noise.generator("blobs", step)) - 0.9
    noisy[:8, :, 2:6, :4] += 1.5
    noisy[8:, :, 2:6, 4:] += 1.5
    return noisy


def train(objective: Any, steps: int) -> list[dict[str, float]]:
    engine = Engine(objective, Adam(0.0, 0.99), Accelerator(cpu=True, mixed_precision="no"))
    logs = [engine.step(blobs(step), step, 1e-3) for step in range(steps)]
    return [{key: value.item() for key, value in log.items()} for log in logs]


@pytest.mark.parametrize("make", [
    lambda f, **o: AIM(f.G(), f.E(), f.D(), StandardNormal(f.dim), weighting="both", **o),
    lambda f, **o: GAN(f.G(), f.D(), StandardNormal(f.dim), **o),
], ids=["aim", "gan"])  # fmt: skip
def test_it_trains(make: Callable[..., Any]) -> None:
    family = Residual(shape=(1, 8, 8), dim=2, width=16)
    objective = make(family, value="relativistic", penalty=1.0)
    logs = train(objective, 90)
    assert all(abs(value) < 1e3 for log in logs for value in log.values())
    with torch.no_grad():
        x = objective.G(torch.randn(200, 2))
    left, right = x[:, :, 2:6, :4].mean(), x[:, :, 2:6, 4:].mean()
    outside = torch.cat([x[:, :, :2], x[:, :, 6:]], dim=2).mean()
    assert min(left, right) > outside + 0.1
    if isinstance(objective, AIM):
        assert logs[-1]["G+E/nll"] < logs[0]["G+E/nll"] - 0.5
