"""VEEGAN (Srivastava et al., 2017, Algorithm 1): a joint ratio estimator, and codes to be recovered from G's images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import fake, real, squared_distance


@dataclass(eq=False)
class VEEGAN:
    """min over G, E  of  E_p(z)[ D(G(z), z) ] + E_p(z)|z - E(G(z))|^2,   D* = log p(x, z) - log q(x, z).

    D is fitted by logistic regression and says "real" of pairs (G(z), z), as the paper has it; E is the paper's
    reconstructor F, and moves by the second term only. `weight` multiplies that term for G (1 in the paper).
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior
    weight: float = 1.0

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "point"
    G_sees: ClassVar[str] = "prior"
    E_sees: ClassVar[str] = "both"

    def __post_init__(self) -> None:
        options.non_negative("weight", self.weight)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield Algorithm 1's simultaneous updates for the batch x (n, *shape)."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x, z_x_z = self.E(x).mean, self.E(x_z).mean
        ratio_q, ratio_p = self.D_xz(x, z_x), self.D_xz(x_z, z)

        L_p, L_q = real(ratio_p), fake(ratio_q)
        L_g, L_z = ratio_p.mean(), squared_distance(z, z_x_z)
        yield (
            Update(self.D_xz, L_p + L_q, {"generated": L_p, "data": L_q}),
            Update(self.E, L_z, {"code": L_z}),
            Update(self.G, L_g + self.weight * L_z, {"ratio": L_g}),
        )
