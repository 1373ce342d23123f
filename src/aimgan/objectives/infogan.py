"""InfoGAN (Chen et al., 2016): a GAN whose images must tell an encoder one part of their code."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import gan, gaussian_nll, likelihood_loss


@dataclass(eq=False)
class InfoGAN:
    """min over G, E  max over D  of  V(G, D) - lambda L_I,   L_I = E[ log q(c|G(z)) ] + H(c),   z = (c, noise).

    c is the first half of z, and `weight` is lambda. E is the paper's Q: it reads D's features, which its loss also
    moves, and returns a mean and a variance of c. For the rest of z, q is the prior, which adds a constant to the loss.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    weight: float = 1.0

    reads_features = True
    posterior = "partial"
    G_sees = "prior"
    E_sees = "prior"

    def __post_init__(self) -> None:
        options.non_negative("weight", self.weight)

    def step(self, x: Batch) -> Updates:
        """Yield the two simultaneous updates."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        f_x = self.D.features(x)
        f_z = self.D.features(x_z)
        q = self.E(f_z)

        L_real, L_fake, L_g = gan(self.D.head(f_x), self.D.head(f_z))
        nll = likelihood_loss(gaussian_nll(q, z), q)
        yield (
            Update(self.D, L_real + L_fake + self.weight * nll, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), L_g + self.weight * nll, {"adversarial": L_g, "nll": nll}),
        )
