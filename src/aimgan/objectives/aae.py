"""AAE (Makhzani et al., 2015, section 2): an autoencoder whose codes a discriminator holds to the prior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import fake, real, squared_distance


@dataclass(eq=False)
class AAE:
    """Two phases a batch: E and G reconstruct x; then D_z tells p(z) from q(z), and E fools it.

    E is deterministic. `weight` multiplies the squared error, which is summed over a sample's elements.
    """

    G: nn.Module
    E: nn.Module
    D_z: nn.Module
    prior: Prior
    weight: float = 1.0

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "point"
    G_sees: ClassVar[str] = "data"
    E_sees: ClassVar[str] = "data"

    def __post_init__(self) -> None:
        options.positive("weight", self.weight)

    def step(self, x: Tensor) -> Iterator[Update]:
        """Yield the three updates for the batch x (n, *shape), one after another."""
        L_x = squared_distance(x, self.G(self.E(x).mean))
        yield Update((self.G, self.E), self.weight * L_x, {"reconstruction": L_x})

        z, z_x = self.prior.sample(len(x)), self.E(x).mean
        L_real, L_fake = real(self.D_z(z)), fake(self.D_z(z_x))
        yield Update(self.D_z, L_real + L_fake, {"real": L_real, "fake": L_fake})

        L_e = real(self.D_z(z_x))
        yield Update(self.E, L_e, {"adversarial": L_e})
