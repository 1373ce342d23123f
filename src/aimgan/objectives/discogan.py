"""DiscoGAN (Kim et al., 2017): two games, and a squared cycle in both directions, between two data sets."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import gan


@dataclass(eq=False)
class DiscoGAN:
    """G, E: L_GAN_A + L_CONST_A + L_GAN_B + L_CONST_B.   D, D_z: equation 7 (equations 5 to 10 of its paper).

    x is a sample of the data set A, and z one of B: p(z) is a data set. G: B -> A and E: A -> B. L_CONST_A is the mean
    of (x - G(E(x)))^2 over samples and elements, L_CONST_B that of (z - E(G(z)))^2. `weight` multiplies both.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    D_z: nn.Module
    prior: Prior
    weight: float = 1.0

    reads_features = False
    posterior = "point"
    G_sees = "both"
    E_sees = "both"

    def __post_init__(self) -> None:
        options.non_negative("weight", self.weight)

    def step(self, x: Batch) -> Updates:
        """Yield the three simultaneous updates."""
        z = self.prior.sample(len(x))
        x_z, z_x = self.G(z), self.E(x).mean
        x_z_x, z_x_z = self.G(z_x), self.E(x_z).mean
        real_x, fake_x, L_gan_x = gan(self.D(x), self.D(x_z))
        real_z, fake_z, L_gan_z = gan(self.D_z(z), self.D_z(z_x))

        L_const = (x - x_z_x).square().mean() + (z - z_x_z).square().mean()
        L_gan = L_gan_x + L_gan_z
        yield (
            Update((self.G, self.E), L_gan + self.weight * L_const, {"adversarial": L_gan, "cycle": L_const}),
            Update(self.D, real_x + fake_x, {"real": real_x, "fake": fake_x}),
            Update(self.D_z, real_z + fake_z, {"real": real_z, "fake": fake_z}),
        )
