"""AGE (Ulyanov et al., 2018, section 3): no discriminator; E sets its codes of real and generated batches apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import batch_gaussian_kl


@dataclass(eq=False)
class AGE:
    """E: Delta(E(x)) - Delta(E(G(z))) + mu |x - G(E(x))|^2.      G: Delta(E(G(z))) + lambda |z - E(G(z))|^2.

    Delta is the KL of a batch's codes, as a diagonal Gaussian, from N(0, I). Codes lie on a sphere: G reads directions
    only. `data_weight` is mu, `code_weight` lambda; both errors are means over samples and elements.
    """

    G: nn.Module
    E: nn.Module
    prior: Prior
    data_weight: float = 10.0
    code_weight: float = 1000.0

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "sphere"
    G_sees: ClassVar[str] = "both"
    E_sees: ClassVar[str] = "both"

    def __post_init__(self) -> None:
        options.non_negative("data_weight", self.data_weight)
        options.non_negative("code_weight", self.code_weight)

    def step(self, x: Tensor) -> Iterator[Update]:
        """Yield E's update, then G's, for the batch x (n, *shape)."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x, z_x_z = self.E(x).mean, self.E(x_z).mean
        L_real, L_fake = batch_gaussian_kl(z_x), batch_gaussian_kl(z_x_z)
        L_x = (x - self.G(z_x)).square().mean()
        terms = {"real": L_real, "fake": L_fake, "reconstruction": L_x}
        yield Update(self.E, L_real - L_fake + self.data_weight * L_x, terms)

        z_x_z = self.E(x_z).mean
        L_fake = batch_gaussian_kl(z_x_z)
        L_z = (F.normalize(z) - F.normalize(z_x_z)).square().mean()
        yield Update(self.G, L_fake + self.code_weight * L_z, {"fake": L_fake, "code": L_z})
