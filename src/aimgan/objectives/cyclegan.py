"""CycleGAN (Zhu et al., 2017): two games, and an l1 cycle in both directions, between two data sets without pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.errors import AimganError
from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import absolute_distance, least_squares


@dataclass(eq=False)
class CycleGAN:
    """G, E: L_GAN(G, D) + L_GAN(E, D_z) + lambda E|G(z_x) - x|_1 + lambda E|E(x_z) - z|_1   (equation 3).

    x is a sample of the data set A, and z one of B: p(z) is a data set. G: B -> A and E: A -> B, D judges A and D_z
    judges B. L_GAN is least squares: D minimises half of E(D(x) - 1)^2 + E D(x_z)^2, and G minimises E(D(x_z) - 1)^2.
    Norms are means over elements. `weight` is lambda. `identity` multiplies lambda (E|G(x) - x|_1 + E|E(z) - z|_1),
    section 5.2, where samples of A and B have one shape. With `history` "pool", D and D_z see earlier images of G and E
    too, from the pools P_x and P_z.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    D_z: nn.Module
    prior: Prior
    P_x: nn.Module | None = None
    P_z: nn.Module | None = None
    weight: float = 10.0
    identity: float = 0.0
    history: str = "pool"

    reads_features = False
    posterior = "point"
    G_sees = "both"
    E_sees = "both"
    only_with: ClassVar[dict[str, tuple[str, str]]] = dict.fromkeys(("P_x", "P_z"), ("history", "pool"))

    def __post_init__(self) -> None:
        options.choice("history", self.history, ("pool", "none"))
        options.optional_players(self)
        options.non_negative("weight", self.weight)
        options.non_negative("identity", self.identity)

    def step(self, x: Batch) -> Updates:
        """Yield the three simultaneous updates: D and D_z see what G and E made before they move."""
        z = self.prior.sample(len(x))
        x_z, z_x = self.G(z), self.E(x).mean
        L_x = _of_discriminator(self.D, x, x_z.detach(), self.P_x)
        L_z = _of_discriminator(self.D_z, z, z_x.detach(), self.P_z)

        L_g = least_squares(self.D(x_z), 1.0) + least_squares(self.D_z(z_x), 1.0)
        L_cycle = absolute_distance(x, self.G(z_x)) + absolute_distance(z, self.E(x_z).mean)
        loss, terms = L_g + self.weight * L_cycle, {"adversarial": L_g, "cycle": L_cycle}
        if self.identity > 0:
            terms["identity"] = self._identity(x, z)
            loss = loss + self.weight * self.identity * terms["identity"]
        yield Update((self.G, self.E), loss, terms), L_x, L_z

    def _identity(self, x: Tensor, z: Tensor) -> Tensor:
        if x[0].numel() != z[0].numel():
            raise AimganError(
                f"identity is {self.identity:g}, but samples of A and of B have other sizes: leave it at 0"
            )
        return absolute_distance(x, self.G(x.flatten(1))) + absolute_distance(z, self.E(z.view_as(x)).mean)


def _of_discriminator(D: nn.Module, x: Tensor, made: Tensor, pool: nn.Module | None) -> Update:
    L_real = least_squares(D(x), 1.0) / 2
    L_fake = least_squares(D(made if pool is None else pool(made)), 0.0) / 2
    return Update(D, L_real + L_fake, {"real": L_real, "fake": L_fake})
