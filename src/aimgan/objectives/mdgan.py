"""MDGAN (Che et al., 2017, section 3): a GAN that also reconstructs real images, so that no mode is out of reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import fake, gan, real


@dataclass(eq=False)
class MDGAN:
    """Two algorithms, with d the mean squared error over samples and elements.

    `variant` "regularised" is a GAN whose G and E also descend  lambda_1 d(x, G(E(x))) - lambda_2 log D(G(E(x))).
    "manifold-diffusion" has two games for each batch. First D_m tells x from G(E(x)); G and E descend
    d(x, G(E(x))) - lambda_2 log D_m(G(E(x))). Then D tells G(E(x)) from G(z), and G descends -log D(G(z)).
    `data_weight` is lambda_1 and `adversarial_weight` lambda_2.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    D_m: nn.Module | None = None
    variant: str = "regularised"
    data_weight: float = 0.2
    adversarial_weight: float = 0.4

    reads_features = False
    posterior = "point"
    G_sees = "both"
    E_sees = "data"
    only_with: ClassVar[dict[str, tuple[str, str]]] = {"D_m": ("variant", "manifold-diffusion")}

    def __post_init__(self) -> None:
        options.choice("variant", self.variant, ("regularised", "manifold-diffusion"))
        options.optional_players(self)
        options.non_negative("data_weight", self.data_weight)
        options.non_negative("adversarial_weight", self.adversarial_weight)

    def step(self, x: Batch) -> Updates:
        """Yield two simultaneous updates, or with two games two pairs of them."""
        z = self.prior.sample(len(x))
        if self.D_m is None:
            yield from self._regularised(x, z)
        else:
            yield from self._two_games(self.D_m, x, z)

    def _regularised(self, x: Batch, z: Tensor) -> Updates:
        x_z_x = self.G(self.E(x).mean)
        d = (x - x_z_x).square().mean()
        x_z = self.G(z)
        L_real, L_fake, L_g = gan(self.D(x), self.D(x_z))
        L_r = real(self.D(x_z_x))
        loss = L_g + self.data_weight * d + self.adversarial_weight * L_r
        yield (
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), loss, {"adversarial": L_g, "reconstruction": d, "of reconstructions": L_r}),
        )

    def _two_games(self, D_m: nn.Module, x: Batch, z: Tensor) -> Updates:
        x_z_x = self.G(self.E(x).mean)
        d = (x - x_z_x).square().mean()
        L_real, L_fake, L_r = gan(D_m(x), D_m(x_z_x))
        yield (
            Update(D_m, L_real + L_fake),
            Update((self.G, self.E), d + self.adversarial_weight * L_r, {"reconstruction": d, "manifold": L_r}),
        )

        x_z_x = self.G(self.E(x).mean)
        rho_r = self.D(x_z_x)
        rho_p = self.D(self.G(z))
        L_g = real(rho_p)
        yield Update(self.D, real(rho_r) + fake(rho_p)), Update(self.G, L_g, {"adversarial": L_g})
