"""AAE (Makhzani et al., 2015, section 2): an autoencoder whose codes a discriminator compares with the prior."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import fake, real, squared_distance


@dataclass(eq=False)
class AAE:
    """Two phases for each batch: E and G reconstruct x; then D_z tells p(z) from q(z), and E fools it.

    E is deterministic. `weight` multiplies the squared error, which is summed over a sample's elements.
    """

    G: nn.Module
    E: nn.Module
    D_z: nn.Module
    prior: Prior
    weight: float = 1.0

    reads_features = False
    posterior = "point"
    G_sees = "data"
    E_sees = "data"

    def __post_init__(self) -> None:
        options.positive("weight", self.weight)

    def step(self, x: Batch) -> Updates:
        """Yield the three updates, one after another."""
        L_x = squared_distance(x, self.G(self.E(x).mean))
        yield Update((self.G, self.E), self.weight * L_x, {"reconstruction": L_x})

        z = self.prior.sample(len(x))
        z_x = self.E(x).mean
        L_real, L_fake = real(self.D_z(z)), fake(self.D_z(z_x))
        yield Update(self.D_z, L_real + L_fake, {"real": L_real, "fake": L_fake})

        L_e = real(self.D_z(z_x))
        yield Update(self.E, L_e, {"adversarial": L_e})
