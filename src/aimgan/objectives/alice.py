"""ALICE (Li et al., 2017): ALI with the conditional entropy H(x|z) bounded by a cycle x -> z -> x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import fake, real


@dataclass(eq=False)
class ALICE:
    """ALI's game  +  lambda L_cycle(x, x_z_x),  x_z_x = G(z_x), z_x ~ q(z|x).

    `cycle` chooses L_cycle: "l1" and "l2" are the mean of |x - x_z_x| and of its square over samples and elements,
    which bound H(x|z) for a Laplacian and a Gaussian p(x|z). "adversarial" is a second game, whose D_xx tells pairs
    (x, x) from pairs (x, x_z_x). `weight` is lambda.
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior
    D_xx: nn.Module | None = None
    cycle: str = "l2"
    weight: float = 1.0

    reads_features = False
    posterior = "gaussian"
    G_sees = "both"
    E_sees = "data"
    only_with: ClassVar[dict[str, tuple[str, str]]] = {"D_xx": ("cycle", "adversarial")}

    def __post_init__(self) -> None:
        options.choice("cycle", self.cycle, ("l1", "l2", "adversarial"))
        options.optional_players(self)
        options.non_negative("weight", self.weight)

    def step(self, x: Batch) -> Updates:
        """Yield the simultaneous updates: two, and D_xx's if it is there."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x = self.E(x).sample(1)[0]
        x_z_x = self.G(z_x)
        rho_q = self.D_xz(x, z_x)
        rho_p = self.D_xz(x_z, z)

        L_real, L_fake = real(rho_q), fake(rho_p)
        updates = [Update(self.D_xz, L_real + L_fake, {"real": L_real, "fake": L_fake})]
        if self.D_xx is not None:
            rho_x = self.D_xx(x, x)
            rho_cycle = self.D_xx(x, x_z_x)
            updates.append(Update(self.D_xx, real(rho_x) + fake(rho_cycle)))
            L_cycle = real(rho_cycle)
        elif self.cycle == "l1":
            L_cycle = (x - x_z_x).abs().mean()
        else:
            L_cycle = (x - x_z_x).square().mean()

        L_e, L_g = fake(rho_q), real(rho_p)
        terms = {"of G": L_g, "of E": L_e, "cycle": L_cycle}
        yield (*updates, Update((self.G, self.E), L_g + L_e + self.weight * L_cycle, terms))
