"""AIM- (anonymous authors, 2019, section 5.1): AIM whose q(z|x) is a Gaussian with identity covariance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import GAMES, gaussian_nll, likelihood_loss, likelihood_weight


@dataclass(eq=False)
class AIMMinus:
    """Equation 9 with sigma^2 = 1 in equation 8:  L = |z - mu(x)|^2 / 2 + constant. `weight` and `value` as AIM's.

    E has no variance head: one that no loss reaches would be a player that is never moved.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    weight: float | None = None
    value: str = "gan"

    reads_features: ClassVar[bool] = True
    posterior: ClassVar[str | None] = "unit"
    G_sees: ClassVar[str] = "prior"
    E_sees: ClassVar[str] = "prior"

    def __post_init__(self) -> None:
        options.choice("value", self.value, GAMES)
        self.weight = likelihood_weight(self.value, self.prior.dim) if self.weight is None else self.weight
        options.non_negative("weight", self.weight)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield Algorithm 1's two simultaneous updates for the batch x (n, *shape)."""
        V = GAMES[self.value]
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        f_x, f_z = self.D.features(x), self.D.features(x_z)
        q = self.E(f_z)
        rho_q, rho_p = self.D.head(f_x), self.D.head(f_z)

        L_real, L_fake, L_g = V(rho_q, rho_p)
        L_e = likelihood_loss(gaussian_nll(q, z), q)
        yield (
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), L_g + self.weight * L_e, {"adversarial": L_g, "nll": L_e}),
        )
