"""AIM- (anonymous authors, 2019, section 5.1): AIM whose q(z|x) is a Gaussian with identity covariance."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import GAMES, gaussian_nll, likelihood_loss, likelihood_weight


@dataclass(eq=False)
class AIMMinus:
    """Equation 9 with sigma^2 = 1 in equation 8:  L = |z - mu(x)|^2 / 2 + constant.

    `weight` and `value` are AIM's. E has a head for the mean only: no loss would move a head for the variance.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    weight: float | None = None
    value: str = "gan"

    reads_features = True
    posterior = "unit"
    G_sees = "prior"
    E_sees = "prior"

    def __post_init__(self) -> None:
        options.choice("value", self.value, GAMES)
        if self.weight is None:
            self.weight = likelihood_weight(self.value, self.prior.dim)
        options.non_negative("weight", self.weight)

    def step(self, x: Batch) -> Updates:
        """Yield Algorithm 1's two simultaneous updates."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        f_x = self.D.features(x)
        f_z = self.D.features(x_z)
        q = self.E(f_z)

        L_real, L_fake, L_g = GAMES[self.value](self.D.head(f_x), self.D.head(f_z))
        L_e = likelihood_loss(gaussian_nll(q, z), q)
        yield (
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), L_g + self.weight * L_e, {"adversarial": L_g, "nll": L_e}),
        )
