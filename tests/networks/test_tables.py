"""Tables 3 and 4 layer by layer, as science.md 3 settles them: each network is read back as the lines of a table."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aimgan.errors import AimganError
from aimgan.networks import Posterior, Table3, Table4

WEIGHTED = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
ACTIVATIONS: dict[type, str] = {nn.ReLU: "ReLU", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}


def kind(layer: Any) -> str:
    """`C64 4x4 s2 p1 bias`: a convolution to 64 maps; T: transposed; FC: fully connected."""
    bias = " bias" if layer.bias is not None else ""
    if isinstance(layer, nn.Linear):
        return f"FC{layer.out_features}{bias}"
    assert (layer.dilation, layer.groups) == ((1, 1), 1)
    assert all(len(set(pair)) == 1 for pair in (layer.kernel_size, layer.stride, layer.padding))
    numbers = f"{layer.kernel_size[0]}x{layer.kernel_size[0]} s{layer.stride[0]} p{layer.padding[0]}"
    return f"{'T' if layer.transposed else 'C'}{layer.out_channels} {numbers}{bias}"


def lines(network: nn.Module, x: Tensor) -> list[str]:
    """Run the network and write a line for each of its layers: kind, bias, batch norm, activation -> shapes."""
    seen: list[tuple[nn.Module, str]] = []
    leaves = [module for module in network.modules() if not [*module.children()]]
    hooks = [m.register_forward_hook(lambda layer, _, out: seen.append((layer, shape(out)))) for m in leaves]
    network(x)
    for hook in hooks:
        hook.remove()
    table: list[tuple[list[str], list[str]]] = []
    for layer, size in seen:
        if isinstance(layer, WEIGHTED):
            table.append(([kind(layer)], [size]))
        elif isinstance(layer, nn.Flatten | nn.Unflatten):
            if table:  # else the network begins with it
                table[-1][1].append(size)
        else:
            table[-1][0].append(addition(layer))
    return [" -> ".join([" ".join(words), *sizes]) for words, sizes in table]


def addition(layer: nn.Module) -> str:
    """What follows a layer in its line."""
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        assert layer.affine
        assert layer.track_running_stats
        return "BN"
    return f"leaky{layer.negative_slope}" if isinstance(layer, nn.LeakyReLU) else ACTIVATIONS[type(layer)]


def shape(x: Tensor) -> str:
    return "x".join(map(str, x.shape[1:])) or "1"


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("family", [Table3(), Table4()])
def test_every_layer_is_a_line_of_the_table(family: Table3 | Table4) -> None:
    D, expected = family.D(), LAYERS[type(family)]
    x, z = torch.rand(2, *family.shape), torch.randn(2, family.dim)
    f = D.features(x)
    assert lines(family.G(), z) == expected["G"]
    assert lines(D.features, x) == lines(family.features(), x) == expected["D features"]
    assert lines(D.head, f) == expected["D head"]
    assert lines(family.E(), f) == expected["E"]


LAYERS: dict[type, dict[str, list[str]]] = {
    Table3: {
        "G": [
            "FC1024 BN ReLU -> 1024",
            "FC6272 BN ReLU -> 6272 -> 128x7x7",
            "T64 4x4 s2 p1 BN ReLU -> 64x14x14",
            "T1 4x4 s2 p1 bias sigmoid -> 1x28x28",
        ],
        "D features": [
            "C64 4x4 s2 p1 bias leaky0.1 -> 64x14x14",
            "C128 4x4 s2 p1 BN leaky0.1 -> 128x7x7",
        ],
        "D head": ["FC1024 BN leaky0.1 -> 1024", "FC64 bias -> 64", "FC1 bias -> 1 -> 1"],
        "E": [
            "C64 4x4 s2 p1 BN leaky0.1 -> 64x3x3 -> 576",
            *2 * ["FC32 BN leaky0.1 -> 32", "FC32 bias -> 32"],
        ],
    },
    Table4: {
        "G": [
            "T1024 4x4 s1 p0 BN ReLU -> 1024x4x4",
            "T512 4x4 s2 p1 BN ReLU -> 512x8x8",
            "T256 4x4 s2 p1 BN ReLU -> 256x16x16",
            "T128 4x4 s2 p1 BN ReLU -> 128x32x32",
            "T3 4x4 s2 p1 bias tanh -> 3x64x64",
        ],
        "D features": [
            "C128 4x4 s2 p1 bias leaky0.2 -> 128x32x32",
            "C256 4x4 s2 p1 BN leaky0.2 -> 256x16x16",
            "C512 4x4 s2 p1 BN leaky0.2 -> 512x8x8",
            "C1024 4x4 s2 p1 BN leaky0.2 -> 1024x4x4",
        ],
        "D head": ["C1 4x4 s1 p0 bias -> 1x1x1 -> 1"],
        "E": [
            "C512 4x4 s2 p1 bias leaky0.2 -> 512x2x2",
            "C512 4x4 s2 p1 BN leaky0.2 -> 512x1x1",
            "C256 2x2 s1 p1 BN leaky0.2 -> 256x2x2",
            "C128 1x1 s1 p0 BN leaky0.2 -> 128x2x2 -> 512",
            *2 * ["FC64 BN leaky0.2 -> 64", "FC64 bias -> 64"],
        ],
    },
}


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (Table3(), (6_602_113, 132_416, 6_490_241, 170_304)),
        (Table4(), (12_068_611, 11_019_904, 16_385, 13_216_384)),
    ],
)
def test_parameter_counts(family: Table3 | Table4, expected: tuple[int, ...]) -> None:
    with torch.device("meta"):
        G, D, E = family.G(), family.D(), family.E()
    assert (count(G), count(D.features), count(D.head), count(E)) == expected


@pytest.mark.parametrize("family", [Table3(), Table4(shape=(3, 32, 32), width=256)])
def test_initial_weights(family: Table3 | Table4) -> None:
    players = [family.G(), family.D(), family.E(), family.E(reads_features=False), family.features()]
    for network in (*players, family.D_z(), family.D_xz(), family.D_xx(), family.E(False, "implicit")):
        layers = [module for module in network.modules() if isinstance(module, WEIGHTED)]
        drawn = torch.cat([layer.weight.detach().flatten() for layer in layers]) / 0.02
        assert drawn.mean().abs() < 5 / len(drawn) ** 0.5
        assert drawn.std().item() == pytest.approx(1, abs=5 / len(drawn) ** 0.5)
        assert drawn.pow(4).mean().item() == pytest.approx(3, abs=50 / len(drawn) ** 0.5)  # a Gaussian's
        for layer in layers:
            assert layer.bias is None or not layer.bias.any()
            assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / layer.weight.numel() ** 0.5)
        for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
            assert (norm.weight == 1).all()
            assert not norm.bias.any()


@pytest.mark.parametrize("side", [8, 16, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_table_4_by_the_same_rule_at_other_sizes(side: int, channels: int) -> None:
    family = Table4(shape=(channels, side, side), dim=5, width=64)
    z = torch.randn(4, 5)
    x, D = family.G()(z), family.D()
    assert x.shape == (4, channels, side, side)
    assert x.abs().max() <= 1
    f = D.features(x.detach())
    assert f.shape == (4, 64, 4, 4)
    assert D.head(f).shape == D(x).shape == (4,)
    q = family.E()(f)
    assert isinstance(q, Posterior)
    assert q.mean.shape == q.log_variance.shape == (4, 5)


def test_wrong_shapes_and_widths_are_refused() -> None:
    for shape in [(3, 28, 28), (1, 32, 32), (2,)]:
        with pytest.raises(AimganError, match=r"Table 3's networks got .*expected \(1, 28, 28\)"):
            Table3(shape=shape)
    for shape in [(3, 16, 32), (2,), (16, 16)]:
        with pytest.raises(AimganError, match="Table 4's networks got samples of"):
            Table4(shape=shape)
    for width in (0, 32, 100):
        with pytest.raises(AimganError, match=f"width is {width} at side 64; expected a multiple of 64"):
            Table4(width=width)
