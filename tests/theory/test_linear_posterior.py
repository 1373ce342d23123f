"""For a linear generator x = A z the posterior is known, and AIM's likelihood must lead the encoder to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from aimgan.networks import GaussianHead, StandardNormal
from aimgan.objectives import Prior, Update
from aimgan.objectives.terms import gaussian_nll, likelihood_loss
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine


class Level(nn.Module):
    """A log variance for each dimension, the same for every x."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand(len(x), -1)


@dataclass(eq=False)
class EncoderOnly:
    """AIM's second line for E alone, with G as it is."""

    G: nn.Module
    E: nn.Module
    prior: Prior
    beta: float

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "gaussian"

    def step(self, x: Tensor) -> Iterator[Update]:
        z = self.prior.sample(len(x))
        q = self.E(self.G(z))
        yield Update(self.E, likelihood_loss(gaussian_nll(q, z), q, self.beta))


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("rows", [1, 2])
def test_the_encoder_reaches_the_closed_form_posterior(rows: int, beta: float) -> None:
    A = torch.tensor([[1.0, -0.5, 0.8], [0.3, 1.2, -0.4]])[:rows]
    G = nn.Linear(3, rows, bias=False)
    G.weight = nn.Parameter(A, requires_grad=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mean = nn.Linear(rows, 3)
        E = GaussianHead(mean, Level(3))
    engine = Engine(
        EncoderOnly(G, E, StandardNormal(3), beta), Adam(0.9), Accelerator(cpu=True, mixed_precision="no"), seed=1
    )
    assert engine.networks.keys() == {"E"}  # a frozen G is no player
    steps = 600
    for step in range(steps):
        engine.step(torch.zeros(500, rows), step, lr=0.03 * (1 - step / steps))

    slope = A.T @ torch.linalg.inv(A @ A.T)  # E[z | x] = A^T (A A^T)^-1 x
    variance = 1 - (slope @ A).diagonal()
    q = E(torch.eye(rows))
    torch.testing.assert_close(mean.weight.detach(), slope, atol=0.02, rtol=0)
    torch.testing.assert_close(mean.bias.detach(), torch.zeros(3), atol=0.02, rtol=0)
    torch.testing.assert_close(q.variance.detach(), variance.expand(rows, 3), atol=0.03, rtol=0)
