from __future__ import annotations

import pytest
import torch
from torch import nn

from aimgan.networks.digit_classifier import DigitClassifier


def test_the_layers_are_those_of_the_description():
    network = DigitClassifier()
    kinds = [type(module) for module in network.modules() if not list(module.children())]
    assert kinds == [
        nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Conv2d, nn.ReLU, nn.MaxPool2d,
        nn.Flatten, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout, nn.Linear,
    ]  # fmt: skip
    shapes = [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert shapes == [(32, 1, 5, 5), (64, 32, 5, 5), (1024, 3136), (10, 1024)]
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [pytest.approx(0.3)]  # kept: 0.7
    assert sum(p.numel() for p in network.parameters()) == 3_275_690


def test_pixels_enter_as_described():
    network = DigitClassifier().eval()
    v = torch.randint(256, (2, 1, 28, 28))
    seen = []
    network.layers[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network(v / 255)
    assert torch.allclose(seen[0], (v - 127.5) / 255, atol=1e-6)
