from __future__ import annotations

import pytest
import torch
from torch import nn

from aimgan.errors import AimganError
from aimgan.networks import MLP


def widths(network: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize("shape", [(2,), (5,), (1, 4, 4), (3, 2, 6)])
def test_shapes(shape: tuple[int, ...]) -> None:
    family = MLP(shape=shape, dim=3, width=8)
    G, D = family.G(), family.D()
    x = G(torch.randn(7, 3))
    assert x.shape == (7, *shape)
    assert D(x).shape == (7,)
    assert D.features(x).shape == (7, 8)
    for q in (family.E()(D.features(x)), family.E(reads_features=False)(x)):
        assert q.mean.shape == q.log_variance.shape == (7, 3)
    assert torch.equal(family.E(posterior="unit")(D.features(x)).variance, torch.ones(7, 3))
    if len(shape) == 3:
        assert family.value_range == (0.0, 1.0)
        assert ((x > 0) & (x < 1)).all()
    else:
        assert family.value_range is None


def test_depths_are_counted_in_hidden_layers() -> None:
    family = MLP(shape=(2,), dim=3, width=8, depth=2, generator_depth=3, encoder_depth=1)
    assert widths(family.G()) == [(3, 8), (8, 8), (8, 8), (8, 2)]
    assert widths(family.features()) == [(2, 8), (8, 8)]
    assert widths(family.D()) == [(2, 8), (8, 8), (8, 1)]
    assert widths(family.E()) == [(8, 8), (8, 3), (8, 3)]
    assert widths(family.E(posterior="unit")) == [(8, 8), (8, 3)]
    assert widths(family.E(reads_features=False)) == [(2, 8), (8, 8), (8, 8), (8, 3), (8, 3)]


def test_relu_in_g_and_leaky_relu_in_d_and_e() -> None:
    def activations(network: nn.Module) -> set[str]:
        return {str(m) for m in network.modules() if isinstance(m, nn.ReLU | nn.LeakyReLU)}

    family = MLP()
    assert activations(family.G()) == {"ReLU(inplace=True)"}
    assert activations(family.D()) == activations(family.E()) == {"LeakyReLU(negative_slope=0.2, inplace=True)"}


def test_the_discriminators_input_is_scaled() -> None:
    def D(scale: float) -> nn.Module:
        torch.manual_seed(0)
        return MLP(width=8, scale=scale).D()

    x = torch.randn(5, 2)
    torch.testing.assert_close(D(4.0)(4 * x), D(1.0)(x))


def test_generator_norm_puts_batch_norm_in_g_only() -> None:
    family = MLP(shape=(1, 4, 4), dim=3, width=8, generator_norm=True)
    G = family.G()
    norms = [m for m in G.modules() if isinstance(m, nn.BatchNorm1d)]
    assert len(norms) == family.generator_depth
    layers = [m for m in G.modules() if isinstance(m, nn.Linear)]
    assert [layer.bias is None for layer in layers] == [True] * len(norms) + [False]
    for network in (family.D(), family.E()):
        assert not any(isinstance(m, nn.BatchNorm1d) for m in network.modules())


def test_the_variance_floor_reaches_the_head() -> None:
    q = MLP(width=8, min_log_variance=-3.0).E()(100 * torch.randn(50, 8))
    assert q.log_variance.min() >= -3
    assert MLP(width=8).E()(1000 * torch.randn(50, 8)).log_variance.min() < -3


@pytest.mark.parametrize("shape", [(), (2, 3), (1, 2, 3, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AimganError, match=r"the MLPs got samples of .*; expected points \(k,\) or images \(c, h, w\)"):
        MLP(shape=shape)
