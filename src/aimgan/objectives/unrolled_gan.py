"""Unrolled GAN (Metz et al., 2017): G descends its loss against the discriminator that D would be k steps from now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import fake, real

Function = Callable[[Tensor], Tensor]


def unrolled(D: nn.Module, loss: Callable[[Function], Tensor], steps: int, lr: float) -> Function:
    """Return D after `steps` steps of gradient descent on loss(D), differentiable through all of them (equation 7)."""
    weights: dict[str, Tensor] = dict(D.named_parameters())
    for _ in range(steps):
        at_weights = partial(functional_call, D, weights)
        gradients = torch.autograd.grad(loss(at_weights), tuple(weights.values()), create_graph=True)
        weights = {name: w - lr * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
    return partial(functional_call, D, weights)


@dataclass(eq=False)
class UnrolledGAN:
    """G ascends D's loss f at theta_D^k(theta_G, theta_D), through the k inner steps; D descends f (equations 9, 10).

    `unrolling` is k. The inner steps are plain gradient descent with the rate `inner_lr`. `generator` is "minimax" (the
    paper's) or "non-saturating", where G descends -E log D^k(G(z)). D's learning rate is `discriminator_rate` times
    G's: a tenth in the authors' code.
    """

    G: nn.Module
    D: nn.Module
    prior: Prior
    unrolling: int = 5
    inner_lr: float = 0.1
    discriminator_rate: float = 0.1
    generator: str = "minimax"

    reads_features = False
    posterior = None
    G_sees = "prior"

    def __post_init__(self) -> None:
        options.choice("generator", self.generator, ("minimax", "non-saturating"))
        options.non_negative("unrolling", self.unrolling)
        options.non_negative("inner_lr", self.inner_lr)
        options.positive("discriminator_rate", self.discriminator_rate)

    def step(self, x: Batch) -> Updates:
        """Yield the two simultaneous updates."""
        x_z = self.G(self.prior.sample(len(x)))
        L_real, L_fake = real(self.D(x)), fake(self.D(x_z))
        D_k = unrolled(self.D, lambda D: real(D(x)) + fake(D(x_z)), self.unrolling, self.inner_lr)
        rho_k = D_k(x_z)
        if self.generator == "non-saturating":
            L_g = real(rho_k)
        else:
            L_g = -(real(D_k(x)) + fake(rho_k))
        yield (
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}, self.discriminator_rate),
            Update(self.G, L_g, {"adversarial": L_g}),
        )
