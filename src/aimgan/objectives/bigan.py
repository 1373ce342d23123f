"""BiGAN (Donahue et al., 2017, section 3): ALI's game with a deterministic encoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import fake, real


@dataclass(eq=False)
class BiGAN:
    """min over G, E  max over D  of  E_q(x)[ log D(x, E(x)) ] + E_p(z)[ log(1 - D(G(z), z)) ].

    At the optimum E inverts G (their theorem 2). G and E descend the loss with exchanged targets.
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior

    reads_features = False
    posterior = "point"
    G_sees = "prior"
    E_sees = "data"

    def step(self, x: Batch) -> Updates:
        """Yield the two simultaneous updates."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x = self.E(x).mean
        rho_q = self.D_xz(x, z_x)
        rho_p = self.D_xz(x_z, z)

        L_real, L_fake = real(rho_q), fake(rho_p)
        L_e, L_g = fake(rho_q), real(rho_p)
        yield (
            Update(self.D_xz, L_real + L_fake, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), L_g + L_e, {"of G": L_g, "of E": L_e}),
        )
