"""VAE-GAN (Larsen et al., 2016, Algorithm 1): a GAN, and a VAE that reconstructs the features of its discriminator."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import fake, gaussian_kl, real, squared_distance


@dataclass(eq=False)
class VAEGAN:
    """E: L_prior + L_llike.   G: gamma L_llike - L_GAN.   D: L_GAN.

    L_prior = KL(q(z|x) || p(z)), L_llike = |f(x) - f(G(z_x))|^2 / 2 with f D's features, and L_GAN compares x with both
    G(z_x) and G(z). `weight` is gamma.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    weight: float = 1.0

    reads_features = False
    posterior = "gaussian"
    G_sees = "both"
    E_sees = "data"

    def __post_init__(self) -> None:
        options.non_negative("weight", self.weight)

    def step(self, x: Batch) -> Updates:
        """Yield Algorithm 1's three simultaneous updates."""
        q = self.E(x)
        x_z_x = self.G(q.sample(1)[0])
        x_z = self.G(self.prior.sample(len(x)))
        f_x = self.D.features(x)
        f_r = self.D.features(x_z_x)
        rho_q, rho_r, rho_p = self.D.head(f_x), self.D.head(f_r), self.D(x_z)

        L_prior = gaussian_kl(q)
        L_llike = 0.5 * squared_distance(f_x, f_r)
        L_real = real(rho_q)
        L_fake = fake(rho_r) + fake(rho_p)
        L_g = real(rho_r) + real(rho_p)
        yield (
            Update(self.E, L_prior + L_llike, {"kl": L_prior, "features": L_llike}),
            Update(self.G, self.weight * L_llike + L_g, {"adversarial": L_g}),
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}),
        )
