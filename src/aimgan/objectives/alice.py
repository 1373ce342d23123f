"""ALICE (Li et al., 2017): ALI with the conditional entropy H(x|z) bounded by a cycle x -> z -> x."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import fake, real


@dataclass(eq=False)
class ALICE:
    """ALI's game  +  lambda * L_cycle,  x_z_x = G(z_x), z_x ~ q(z|x).

    `cycle` "l1", "l2": the mean of |x - x_z_x| or of its square over samples and elements, which bounds H(x|z) for a
    Laplacian or Gaussian p(x|z). "adversarial": a second game, whose D_xx tells pairs (x, x) from pairs (x, x_z_x).
    `weight` is lambda.
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior
    D_xx: nn.Module | None = None
    cycle: str = "l2"
    weight: float = 1.0

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "gaussian"
    G_sees: ClassVar[str] = "both"
    E_sees: ClassVar[str] = "data"
    only_with: ClassVar[dict[str, tuple[str, str]]] = {"D_xx": ("cycle", "adversarial")}

    def __post_init__(self) -> None:
        options.choice("cycle", self.cycle, ("l1", "l2", "adversarial"))
        options.optional_players(self)
        options.non_negative("weight", self.weight)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield the simultaneous updates for the batch x (n, *shape)."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x = self.E(x).sample(1)[0]
        x_z_x = self.G(z_x)
        rho_q, rho_p = self.D_xz(x, z_x), self.D_xz(x_z, z)

        L_q, L_p = real(rho_q), fake(rho_p)
        updates = [Update(self.D_xz, L_q + L_p, {"real": L_q, "fake": L_p})]
        if self.D_xx is None:
            error = x - x_z_x
            L_cycle = error.abs().mean() if self.cycle == "l1" else error.square().mean()
        else:
            same, cycled = self.D_xx(x, x), self.D_xx(x, x_z_x)
            updates.append(Update(self.D_xx, real(same) + fake(cycled)))
            L_cycle = real(cycled)
        L_e, L_g = fake(rho_q), real(rho_p)
        terms = {"of G": L_g, "of E": L_e, "cycle": L_cycle}
        yield (*updates, Update((self.G, self.E), L_g + L_e + self.weight * L_cycle, terms))
