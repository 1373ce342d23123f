"""InfoGAN (Chen et al., 2016): a GAN whose images must tell an encoder one part of their code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import fake, gaussian_nll, likelihood_loss, real


@dataclass(eq=False)
class InfoGAN:
    """min over G, E  max over D  of  V(G, D) - lambda L_I,   L_I = E[ log q(c|G(z)) ] + H(c),   z = (c, noise).

    c is the first half of z. E is the paper's Q: a mean and a variance of c from D's features. Of the rest it knows
    nothing: there q is the prior, which adds a constant to the loss. `weight` is lambda.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    weight: float = 1.0

    reads_features: ClassVar[bool] = True
    posterior: ClassVar[str | None] = "partial"
    G_sees: ClassVar[str] = "prior"
    E_sees: ClassVar[str] = "prior"

    def __post_init__(self) -> None:
        options.non_negative("weight", self.weight)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield the simultaneous pair of updates for the batch x (n, *shape)."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        f_x, f_z = self.D.features(x), self.D.features(x_z)
        q = self.E(f_z)
        rho_q, rho_p = self.D.head(f_x), self.D.head(f_z)

        L_real, L_fake, L_g = real(rho_q), fake(rho_p), real(rho_p)
        nll = likelihood_loss(gaussian_nll(q, z), q)
        yield (
            Update(self.D, L_real + L_fake + self.weight * nll, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), L_g + self.weight * nll, {"adversarial": L_g, "nll": nll}),
        )
