"""The residual family: shapes, initial weights, cost, what E answers, saving, and a short training."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from aimgan.errors import AimganError
from aimgan.networks import Residual
from aimgan.networks.residual import GAIN, ResidualBlock


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


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


# Initial weights: nothing is normalised, so they must carry the scale.


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


# Errors, saving, recipes.


@pytest.mark.parametrize("shape", [(3, 0, 0), (3, 4, 4), (3, 12, 12), (3, 28, 28), (3, 16, 32), (2,), (16, 16)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AimganError, match=r"the residual networks got samples of \(.*\); expected images .*--size"):
        Residual(shape=shape)


@pytest.mark.parametrize("width", [0, 32, 100])
def test_other_widths_are_refused(width: int) -> None:
    with pytest.raises(AimganError, match=f"width is {width} at side 32; expected a multiple of 64"):
        Residual(width=width)


# Training: two kinds of blobs; a penalised game of pairs stays finite, and E learns its codes.
