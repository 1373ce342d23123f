"""VAE-GAN (Larsen et al., 2016, Algorithm 1): a VAE that reconstructs a discriminator's features, and a GAN, in one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import fake, gaussian_kl, real, squared_distance


@dataclass(eq=False)
class VAEGAN:
    """E: L_prior + L_llike.   G: gamma L_llike - L_GAN.   D: L_GAN.

    L_prior = KL(q(z|x) || p(z)), L_llike = |f(x) - f(G(z_x))|^2 / 2 with f D's features, and L_GAN sets x against both
    G(z_x) and G(z). `weight` is gamma.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    weight: float = 1.0

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "gaussian"
    G_sees: ClassVar[str] = "both"
    E_sees: ClassVar[str] = "data"

    def __post_init__(self) -> None:
        options.non_negative("weight", self.weight)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield Algorithm 1's simultaneous updates for the batch x (n, *shape)."""
        q = self.E(x)
        x_z_x, x_z = self.G(q.sample(1)[0]), self.G(self.prior.sample(len(x)))
        f_x, f_x_z_x = self.D.features(x), self.D.features(x_z_x)
        rho_q, rho_r, rho_p = self.D.head(f_x), self.D.head(f_x_z_x), self.D(x_z)

        L_prior = gaussian_kl(q)
        L_llike = 0.5 * squared_distance(f_x, f_x_z_x)
        L_real, L_fake = real(rho_q), fake(rho_r) + fake(rho_p)
        L_g = real(rho_r) + real(rho_p)
        yield (
            Update(self.E, L_prior + L_llike, {"kl": L_prior, "features": L_llike}),
            Update(self.G, self.weight * L_llike + L_g, {"adversarial": L_g}),
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}),
        )
