"""ALI (Dumoulin et al., 2017, Algorithm 1): G and E against one discriminator of pairs (x, z)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import fake, real


@dataclass(eq=False)
class ALI:
    """min over G, E  max over D  of  E_q(x)q(z|x)[ log D(x, z) ] + E_p(z)[ log(1 - D(G(z), z)) ].

    q(z|x) is a Gaussian, sampled by z = mu + sigma eps (section 4.6). G and E descend the loss with exchanged targets,
    which does not saturate.
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior

    reads_features = False
    posterior = "gaussian"
    G_sees = "prior"
    E_sees = "data"

    def step(self, x: Batch) -> Updates:
        """Yield Algorithm 1's two simultaneous updates."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x = self.E(x).sample(1)[0]
        rho_q = self.D_xz(x, z_x)
        rho_p = self.D_xz(x_z, z)

        L_real, L_fake = real(rho_q), fake(rho_p)
        L_e, L_g = fake(rho_q), real(rho_p)
        yield (
            Update(self.D_xz, L_real + L_fake, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), L_g + L_e, {"of G": L_g, "of E": L_e}),
        )
