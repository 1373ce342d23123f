"""The textbook loop of AIM, to be compared with: each player draws, runs and differentiates its own forward pass.

This is how public GAN code is written: the generator's images are made once for D and again for G and E, `backward()`
fills every reachable gradient, and D's unwanted ones are cleared afterwards. The networks, the losses and the fused
Adam are those of the library.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from aimgan.objectives.terms import gaussian_nll, likelihood_loss


class Textbook:
    """Alternating updates on an AIM objective's own networks."""

    def __init__(self, aim, lr: float, betas: tuple[float, float]) -> None:
        self.aim = aim
        adam = {"lr": lr, "betas": betas, "fused": True}
        self.of_d = torch.optim.Adam(aim.D.parameters(), **adam)
        self.of_ge = torch.optim.Adam(itertools.chain(aim.G.parameters(), aim.E.parameters()), **adam)

    def step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        aim = self.aim
        z = aim.prior.sample(len(x))
        fake = aim.G(z).detach()
        loss_d = F.softplus(-aim.D(x)).mean() + F.softplus(aim.D(fake)).mean()
        self.of_d.zero_grad()
        loss_d.backward()
        self.of_d.step()

        z = aim.prior.sample(len(x))
        features = aim.D.features(aim.G(z))
        q = aim.E(features)
        likelihood = likelihood_loss(gaussian_nll(q, z), q, aim.beta if aim.weighting == "both" else 0.0)
        loss_ge = F.softplus(-aim.D.head(features)).mean() + aim.weight * likelihood
        self.of_ge.zero_grad()
        loss_ge.backward()
        self.of_ge.step()
        return loss_d.detach(), loss_ge.detach()
