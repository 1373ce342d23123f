"""MDGAN (Che et al., 2017, section 3): reconstructions of real images keep every mode in the generator's reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import fake, real

Updates = Iterator[Update | tuple[Update, ...]]


@dataclass(eq=False)
class MDGAN:
    """`variant` "regularised":  a GAN, whose G and E also descend  lambda_1 d(x, G(E(x))) - lambda_2 log D(G(E(x))).

    "manifold-diffusion", two games a batch: D_m tells x from G(E(x)), which G and E descend with d; then D tells
    G(E(x)) from G(z), which G descends. d is the mean squared error over samples and elements. `data_weight` is
    lambda_1, `adversarial_weight` lambda_2 (of log D_m in the second variant, where d has weight 1).
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    D_m: nn.Module | None = None
    variant: str = "regularised"
    data_weight: float = 0.2
    adversarial_weight: float = 0.4

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "point"
    G_sees: ClassVar[str] = "both"
    E_sees: ClassVar[str] = "data"
    only_with: ClassVar[dict[str, tuple[str, str]]] = {"D_m": ("variant", "manifold-diffusion")}

    def __post_init__(self) -> None:
        options.choice("variant", self.variant, ("regularised", "manifold-diffusion"))
        options.optional_players(self)
        options.non_negative("data_weight", self.data_weight)
        options.non_negative("adversarial_weight", self.adversarial_weight)

    def step(self, x: Tensor) -> Updates:
        """Yield the updates for the batch x (n, *shape)."""
        z = self.prior.sample(len(x))
        x_z_x = self.G(self.E(x).mean)
        d = (x - x_z_x).square().mean()
        if self.D_m is None:
            yield from self._regularised(x, z, x_z_x, d)
        else:
            yield from self._two_games(self.D_m, x, z, x_z_x, d)

    def _regularised(self, x: Tensor, z: Tensor, x_z_x: Tensor, d: Tensor) -> Updates:
        x_z = self.G(z)
        rho_q, rho_p, rho_r = self.D(x), self.D(x_z), self.D(x_z_x)
        L_real, L_fake, L_g, L_r = real(rho_q), fake(rho_p), real(rho_p), real(rho_r)
        loss = L_g + self.data_weight * d + self.adversarial_weight * L_r
        yield (
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), loss, {"adversarial": L_g, "reconstruction": d, "of reconstructions": L_r}),
        )

    def _two_games(self, D_m: nn.Module, x: Tensor, z: Tensor, x_z_x: Tensor, d: Tensor) -> Updates:
        rho_q, rho_r = D_m(x), D_m(x_z_x)
        L_r = real(rho_r)
        yield (
            Update(D_m, real(rho_q) + fake(rho_r)),
            Update((self.G, self.E), d + self.adversarial_weight * L_r, {"reconstruction": d, "manifold": L_r}),
        )
        x_z_x, x_z = self.G(self.E(x).mean), self.G(z)
        rho_r, rho_p = self.D(x_z_x), self.D(x_z)
        L_g = real(rho_p)
        yield Update(self.D, real(rho_r) + fake(rho_p)), Update(self.G, L_g, {"adversarial": L_g})
