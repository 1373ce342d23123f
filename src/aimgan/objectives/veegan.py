"""VEEGAN (Srivastava et al., 2017, Algorithm 1): a joint ratio estimator, and codes to be recovered from G's images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import fake, mean, real, squared_distance


@dataclass(eq=False)
class VEEGAN:
    """min over G, E  of  E_p(z)[ D(G(z), z) ] + E_p(z)|z - E(G(z))|^2,   D* = log p(x, z) - log q(x, z).

    D is fitted by logistic regression with target 1 for pairs (G(z), z), as in the paper. E is the paper's
    reconstructor F and descends the second term only. `weight` multiplies that term in G's loss (1 in the paper).
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior
    weight: float = 1.0

    reads_features = False
    posterior = "point"
    G_sees = "prior"
    E_sees = "both"

    def __post_init__(self) -> None:
        options.non_negative("weight", self.weight)

    def step(self, x: Batch) -> Updates:
        """Yield Algorithm 1's three simultaneous updates."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x = self.E(x).mean
        z_x_z = self.E(x_z).mean
        ratio_q = self.D_xz(x, z_x)
        ratio_p = self.D_xz(x_z, z)

        L_p, L_q = real(ratio_p), fake(ratio_q)
        L_g = mean(ratio_p)
        L_z = squared_distance(z, z_x_z)
        yield (
            Update(self.D_xz, L_p + L_q, {"generated": L_p, "data": L_q}),
            Update(self.E, L_z, {"code": L_z}),
            Update(self.G, L_g + self.weight * L_z, {"ratio": L_g}),
        )
