"""BiGAN (Donahue et al., 2017, section 3): ALI's game with a deterministic encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import fake, real


@dataclass(eq=False)
class BiGAN:
    """min over G, E  max over D  of  E_q(x)[ log D(x, E(x)) ] + E_p(z)[ log(1 - D(G(z), z)) ].

    At the optimum E inverts G (their theorem 2). G and E descend the game with its labels exchanged.
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "point"
    G_sees: ClassVar[str] = "prior"
    E_sees: ClassVar[str] = "data"

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield the simultaneous pair of updates for the batch x (n, *shape)."""
        z = self.prior.sample(len(x))
        x_z, z_x = self.G(z), self.E(x).mean
        rho_q, rho_p = self.D_xz(x, z_x), self.D_xz(x_z, z)

        L_q, L_p = real(rho_q), fake(rho_p)
        L_e, L_g = fake(rho_q), real(rho_p)
        yield (
            Update(self.D_xz, L_q + L_p, {"real": L_q, "fake": L_p}),
            Update((self.G, self.E), L_g + L_e, {"of G": L_g, "of E": L_e}),
        )
