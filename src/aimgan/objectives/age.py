"""AGE (Ulyanov et al., 2018, section 3): E separates its codes of real and generated batches; no discriminator."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn import functional as F

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import batch_gaussian_kl


@dataclass(eq=False)
class AGE:
    """E: Delta(E(x)) - Delta(E(G(z))) + mu |x - G(E(x))|^2.      G: Delta(E(G(z))) + lambda |z - E(G(z))|^2.

    Delta is the KL from N(0, I) of the diagonal Gaussian with the mean and variance of a batch of codes. Codes lie on a
    sphere: G reads their directions only. `data_weight` is mu and `code_weight` lambda; both errors are means over
    samples and elements.
    """

    G: nn.Module
    E: nn.Module
    prior: Prior
    data_weight: float = 10.0
    code_weight: float = 1000.0

    reads_features = False
    posterior = "sphere"
    G_sees = "both"
    E_sees = "both"

    def __post_init__(self) -> None:
        options.non_negative("data_weight", self.data_weight)
        options.non_negative("code_weight", self.code_weight)

    def step(self, x: Batch) -> Updates:
        """Yield E's update, then G's."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x = self.E(x).mean
        L_real, L_fake = batch_gaussian_kl(z_x), batch_gaussian_kl(self.E(x_z).mean)
        L_x = (x - self.G(z_x)).square().mean()
        terms = {"real": L_real, "fake": L_fake, "reconstruction": L_x}
        yield Update(self.E, L_real - L_fake + self.data_weight * L_x, terms)

        z_x_z = self.E(x_z).mean
        L_fake = batch_gaussian_kl(z_x_z)
        L_z = (F.normalize(z) - F.normalize(z_x_z)).square().mean()
        yield Update(self.G, L_fake + self.code_weight * L_z, {"fake": L_fake, "code": L_z})
