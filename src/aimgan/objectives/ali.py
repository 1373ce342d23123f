"""ALI (Dumoulin et al., 2017, Algorithm 1): G and E against one discriminator of pairs (x, z)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import fake, real


@dataclass(eq=False)
class ALI:
    """min over G, E  max over D  of  E_q(x)q(z|x)[ log D(x, z) ] + E_p(z)[ log(1 - D(G(z), z)) ].

    q(z|x) is a Gaussian, sampled by z = mu + sigma eps (section 4.6). G and E descend the game with its labels
    exchanged, which does not saturate.
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "gaussian"
    G_sees: ClassVar[str] = "prior"
    E_sees: ClassVar[str] = "data"

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield Algorithm 1's simultaneous pair of updates for the batch x (n, *shape)."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x = self.E(x).sample(1)[0]
        rho_q, rho_p = self.D_xz(x, z_x), self.D_xz(x_z, z)

        L_q, L_p = real(rho_q), fake(rho_p)
        L_e, L_g = fake(rho_q), real(rho_p)
        yield (
            Update(self.D_xz, L_q + L_p, {"real": L_q, "fake": L_p}),
            Update((self.G, self.E), L_g + L_e, {"of G": L_g, "of E": L_e}),
        )
