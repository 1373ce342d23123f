from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aimgan.errors import AimganError
from aimgan.networks.inception import Inception, from_published, published_names, tf1_bilinear

CHANNELS = 17_216  # of all convolutions


def convolutions(network: Inception) -> list[nn.Sequential]:
    return [module for module in network.modules() if isinstance(module, nn.Sequential) and hasattr(module, "bn")]


@pytest.fixture(scope="module")
def network() -> Inception:
    """Random weights through which an image is still to be told from another, 94 layers further."""
    torch.manual_seed(0)
    network = Inception().eval().requires_grad_(False)
    for layer in convolutions(network):
        nn.init.kaiming_normal_(layer.conv.weight)
        layer.bn.bias.normal_(0, 0.1)
        layer.bn.running_mean.normal_(0, 0.1)
        layer.bn.running_var.uniform_(0.5, 1.5)
    return network


def published(network: Inception) -> dict[str, Tensor]:
    """The weights under NVIDIA's names."""
    state = {"output.weight": network.fc.weight, "output.bias": network.fc.bias}
    for name, (conv, bn, _) in zip(published_names(), convolutions(network), strict=True):
        parts = {"weight": conv.weight, "beta": bn.bias, "mean": bn.running_mean, "var": bn.running_var}
        state |= {f"{name}.{part}": tensor for part, tensor in parts.items()}
    return state


def test_the_counts_are_the_published_ones():
    with torch.device("meta"):
        network = Inception()
    parameters = sum(p.numel() for p in network.parameters())
    eight_classes = 8 * 2049
    assert parameters == 27_161_264 - 3_326_696 + eight_classes  # torchvision's, without the auxiliary classifier
    assert sum(layer.conv.out_channels for layer in convolutions(network)) == CHANNELS
    assert parameters - eight_classes + CHANNELS == 23_851_784  # Keras: no scales, but two statistics, 1,000 classes
    assert len(convolutions(network)) == 94
    assert len(network.state_dict()) == 566  # entries of pt_inception-2015-12-05-6726825d.pth


def restated(s: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The graph once more, by NVIDIA's names, from its description and not from our table."""

    def c(x, name, stride=1, padding=0):
        x = F.conv2d(x, s[f"layers.{name}.weight"], stride=stride, padding=padding)
        return F.batch_norm(
            x, s[f"layers.{name}.mean"], s[f"layers.{name}.var"], bias=s[f"layers.{name}.beta"], eps=1e-3
        ).relu()

    def mean(x):  # a 3 x 3 mean without the zeros at the border
        return F.avg_pool2d(x, 3, 1, 1) * 9 / F.conv2d(torch.ones_like(x[:1, :1]), torch.ones(1, 1, 3, 3), padding=1)

    def a(x, m):
        five = c(c(x, f"{m}.tower.conv"), f"{m}.tower.conv_1", padding=2)
        three = c(c(x, f"{m}.tower_1.conv"), f"{m}.tower_1.conv_1", padding=1)
        three = c(three, f"{m}.tower_1.conv_2", padding=1)
        return torch.cat([c(x, f"{m}.conv"), five, three, c(mean(x), f"{m}.tower_2.conv")], 1)

    def seven(x, name, shapes):
        for k, (down, across) in enumerate(shapes):
            x = c(x, f"{name}.conv" + (f"_{k}" if k else ""), padding=(down // 2, across // 2))
        return x

    def block_c(x, m):
        one = seven(x, f"{m}.tower", [(1, 1), (1, 7), (7, 1)])
        two = seven(x, f"{m}.tower_1", [(1, 1), (7, 1), (1, 7), (7, 1), (1, 7)])
        return torch.cat([c(x, f"{m}.conv"), one, two, c(mean(x), f"{m}.tower_2.conv")], 1)

    def e(x, m, pooled):
        one, two = c(x, f"{m}.tower_conv"), c(c(x, f"{m}.tower_1_conv"), f"{m}.tower_1_conv_1", padding=1)
        pairs = [
            c(y, f"{m}.{tower}_mixed_conv{end}", padding=padding)
            for tower, y in (("tower", one), ("tower_1", two))
            for end, padding in (("", (0, 1)), ("_1", (1, 0)))
        ]
        return torch.cat([c(x, f"{m}.conv"), *pairs, c(pooled, f"{m}.tower_2_conv")], 1)

    x = (x - 128) / 128
    x = F.max_pool2d(c(c(c(x, "conv", 2), "conv_1"), "conv_2", padding=1), 3, 2)
    x = F.max_pool2d(c(c(x, "conv_3"), "conv_4"), 3, 2)
    x = a(a(a(x, "mixed"), "mixed_1"), "mixed_2")
    b = c(c(c(x, "mixed_3.tower.conv"), "mixed_3.tower.conv_1", padding=1), "mixed_3.tower.conv_2", 2)
    x = torch.cat([c(x, "mixed_3.conv", 2), b, F.max_pool2d(x, 3, 2)], 1)
    for k in (4, 5, 6, 7):
        x = block_c(x, f"mixed_{k}")
    three = c(c(x, "mixed_8.tower.conv"), "mixed_8.tower.conv_1", 2)
    d = c(seven(x, "mixed_8.tower_1", [(1, 1), (1, 7), (7, 1)]), "mixed_8.tower_1.conv_3", 2)
    x = torch.cat([three, d, F.max_pool2d(x, 3, 2)], 1)
    x = e(x, "mixed_9", mean(x))
    x = e(x, "mixed_10", F.max_pool2d(x, 3, 1, 1))
    features = x.mean((2, 3))
    return features, features @ s["output.weight"].T


def test_it_is_the_graph_stated_once_more(network):
    v = torch.stack([torch.randint(256, (3, 299, 299)), torch.randint(64, 192, (3, 299, 299))]).float()
    features, logits = network(v / 255)
    expected, expected_logits = restated(published(network), v)
    assert (expected[0] - expected[1]).abs().mean() > 0.1 * expected.abs().mean()
    assert torch.allclose(features, expected, rtol=1e-4, atol=1e-4)
    assert torch.allclose(logits, expected_logits, rtol=1e-4, atol=1e-4)


def test_published_weights_are_read(network):
    state, found = network.state_dict(), from_published(published(network))
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_other_weights_are_refused_by_name(network):
    state = published(network)
    with pytest.raises(AimganError, match=r"no weights 'layers.mixed_3.conv.beta' among 377; expected Inception"):
        from_published({name: tensor for name, tensor in state.items() if name != "layers.mixed_3.conv.beta"})
    with pytest.raises(AimganError, match=r"'output.weight' of shape \(1000, 2048\), expected \(1008, 2048\)"):
        from_published({**state, "output.weight": torch.zeros(1000, 2048)})
    with pytest.raises(AimganError, match="no weights"):
        from_published({})


@pytest.mark.parametrize(("h", "w", "side"), [(5, 7, 13), (13, 9, 4), (1, 2, 3)])
def test_resizing_is_tensorflow_1s(h, w, side):
    x = torch.rand(2, 3, h, w)
    expected = torch.empty(2, 3, side, side)
    for i in range(side):
        for j in range(side):
            y, z = i * h / side, j * w / side
            top, left = int(y), int(z)
            bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
            above = x[..., top, left] * (1 - (z - left)) + x[..., top, right] * (z - left)
            below = x[..., bottom, left] * (1 - (z - left)) + x[..., bottom, right] * (z - left)
            expected[..., i, j] = above * (1 - (y - top)) + below * (y - top)
    assert torch.allclose(tf1_bilinear(x, side), expected, atol=1e-6)


class Seen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return x.new_zeros(len(x), 2048)


def test_pixels_are_those_of_a_file():
    network = Inception()
    network.layers = Seen()
    v = torch.tensor([0.0, 64, 128, 255]).view(4, 1, 1, 1).expand(4, 3, 30, 30)
    network(v / 255 + 0.0015)
    assert torch.equal(network.layers.x[:, 0, 7, 290], torch.tensor([-1.0, -0.5, 0.0, 127 / 128]))
    edge = torch.arange(2.0).view(1, 1, 1, 2).expand(1, 3, 2, 2)
    network(edge)
    assert network.layers.x[0, 0, 0, 149].item() == pytest.approx((255 * 149 * 2 / 299 - 128) / 128, abs=1e-4)


def test_it_is_torch_fidelitys_bit_for_bit(network, monkeypatch):
    spec = find_spec("torch_fidelity")
    if spec is None:
        pytest.skip("torch-fidelity is not here: beside it torchmetrics needs torchvision, which is not used here")
    package = ModuleType("torch_fidelity")  # its own __init__ wants torchvision
    package.__path__ = spec.submodule_search_locations
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    import torch_fidelity.feature_extractor_inceptionv3 as theirs

    monkeypatch.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    monkeypatch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: {})
    extractor = theirs.FeatureExtractorInceptionV3("it", ["2048", "logits_unbiased"])
    for mine, tensor in zip(network.state_dict().values(), extractor.state_dict().values(), strict=True):
        tensor.copy_(mine)  # both have their layers in the same order
    v = torch.randint(256, (1, 3, 40, 40), dtype=torch.uint8)
    for ours, expected in zip(network(v / 255), extractor(v), strict=True):
        assert torch.equal(ours, expected)
