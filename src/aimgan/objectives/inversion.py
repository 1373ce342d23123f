"""Post-hoc inversion (Zhu et al., 2016, section 3): an encoder fitted behind a GAN that never hears of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import fake, real


@dataclass(eq=False)
class Inversion:
    """G, D: a GAN (equation 7).      E: min  E_q(x)|x - G(E(x))|^2, whose gradient G never sees.

    E learns on real images to choose the code whose image is nearest, the paper's equation 4. The error is a mean over
    samples and elements. Optimisation of each image's code is `aimgan.evaluation.inversion.invert`.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "point"
    G_sees: ClassVar[str] = "both"
    E_sees: ClassVar[str] = "data"

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield the simultaneous updates for the batch x (n, *shape)."""
        x_z = self.G(self.prior.sample(len(x)))
        x_z_x = self.G(self.E(x).mean)
        rho_q, rho_p = self.D(x), self.D(x_z)

        L_real, L_fake, L_g = real(rho_q), fake(rho_p), real(rho_p)
        L_e = (x - x_z_x).square().mean()
        yield (
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}),
            Update(self.G, L_g, {"adversarial": L_g}),
            Update(self.E, L_e, {"reconstruction": L_e}),
        )
