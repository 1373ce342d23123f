"""Re-estimated statistics against numpy's, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aimgan.networks import MLP
from aimgan.networks.batch_norm import batch_norms, reestimate


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12, 4),
        nn.BatchNorm1d(4, momentum=0.3),
    ).double()


def batches(count: int = 5, n: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [1 + k * torch.randn(n, 2, 4, 4, generator=generator, dtype=torch.float64) for k in range(1, count + 1)]


def spoil(net: nn.Module) -> None:
    """Statistics of other data, which must be forgotten."""
    with torch.no_grad():
        for layer in batch_norms(net):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.fill_(100)
            layer.running_var.fill_(100)


def test_statistics_are_the_plain_average_over_batches() -> None:
    net = network()
    spoil(net)
    reestimate(net, net, batches())
    conv, norm = net[0], net[1]
    means, variances = [], []
    with torch.no_grad():
        for batch in batches():
            rows = conv(batch).numpy().transpose(1, 0, 2, 3).reshape(3, -1)
            means.append(rows.mean(axis=1))
            variances.append(rows.var(axis=1, ddof=1))  # torch's running variance is the unbiased one
    np.testing.assert_allclose(norm.running_mean.numpy(), np.mean(means, axis=0), rtol=1e-12)
    np.testing.assert_allclose(norm.running_var.numpy(), np.mean(variances, axis=0), rtol=1e-12)
    assert norm.num_batches_tracked == 5


def test_later_layers_see_batches_normalised_by_their_own_statistics_as_in_training() -> None:
    net = network()
    spoil(net)
    reestimate(net, net, batches())
    means = []
    with torch.no_grad():
        for batch in batches():
            h = net[0](batch).numpy()
            own = (h - h.mean(axis=(0, 2, 3), keepdims=True)) / np.sqrt(h.var(axis=(0, 2, 3), keepdims=True) + 1e-5)
            rows = np.maximum(own, 0).reshape(8, -1) @ net[4].weight.numpy().T + net[4].bias.numpy()
            means.append(rows.mean(axis=0))
    np.testing.assert_allclose(net[5].running_mean.numpy(), np.mean(means, axis=0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_momentum_mode_and_parameters_are_left_as_they_were(training: bool) -> None:
    net = network().train(training)
    net[1].train(not training)  # a part may be in another mode than the whole
    modes, weights = [m.training for m in net.modules()], [p.clone() for p in net.parameters()]
    reestimate(net, net, batches())
    assert [m.training for m in net.modules()] == modes
    assert [layer.momentum for layer in batch_norms(net)] == [0.1, 0.3]
    assert all(torch.equal(p, w) for p, w in zip(net.parameters(), weights, strict=True))
    assert not any(p.grad is not None for p in net.parameters())


def test_modes_are_restored_after_an_error() -> None:
    net = network().eval()
    with pytest.raises(RuntimeError):
        reestimate(net, net, [torch.zeros(1, 1, dtype=torch.float64)])
    assert not any(m.training for m in net.modules())
    assert [layer.momentum for layer in batch_norms(net)] == [0.1, 0.3]


def test_a_network_without_batch_norm_is_not_run() -> None:
    def forward(x: Tensor) -> Any:
        raise AssertionError("it was run")

    net = MLP().D()
    assert batch_norms(net) == []
    reestimate(net, forward, [torch.zeros(2, 2)])
