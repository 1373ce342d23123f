"""Post-hoc inversion (Zhu et al., 2016, section 3): an encoder fitted to a GAN that is trained without it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import gan


@dataclass(eq=False)
class Inversion:
    """G, D: a GAN (equation 7).      E: min  E_q(x)|x - G(E(x))|^2, which does not move G.

    E learns on real images to choose the code whose image is nearest, the paper's equation 4. The error is a mean over
    samples and elements. `aimgan.evaluation.inversion.invert` optimises a code for each image instead.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior

    reads_features = False
    posterior = "point"
    G_sees = "both"
    E_sees = "data"

    def step(self, x: Batch) -> Updates:
        """Yield the three simultaneous updates."""
        x_z = self.G(self.prior.sample(len(x)))
        x_z_x = self.G(self.E(x).mean)
        L_real, L_fake, L_g = gan(self.D(x), self.D(x_z))
        L_e = (x - x_z_x).square().mean()
        yield (
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}),
            Update(self.G, L_g, {"adversarial": L_g}),
            Update(self.E, L_e, {"reconstruction": L_e}),
        )
