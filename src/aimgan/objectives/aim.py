"""AIM (anonymous authors, 2019, Algorithm 1): a GAN whose images must tell an encoder the codes they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import aim_variants, options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import GAMES, gaussian_nll, likelihood_loss, likelihood_weight


@dataclass(eq=False)
class AIM:
    """Equation 9:  min over G, E  max over D  of  V(G, D) + lambda E_p(z)[ L(z, E(G(z))) ].

    V is equation 7 (`value="gan"`), L = -log q(z|x) is equation 8. lambda = `weight`: unless it is given, 1/d with
    equation 7 and 1 with equation 6 (`value="f-gan"`). E reads D's features and never updates them (section 5).

    `weighting`, `beta`, `penalty` and `value="relativistic"` are ours, not the paper's: aim_variants.py.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    weight: float | None = None
    value: str = "gan"
    weighting: str = "none"
    beta: float = 1.0
    penalty: float = 0.0

    reads_features: ClassVar[bool] = True
    posterior: ClassVar[str | None] = "gaussian"
    G_sees: ClassVar[str] = "prior"
    E_sees: ClassVar[str] = "prior"

    def __post_init__(self) -> None:
        options.choice("value", self.value, GAMES)
        options.choice("weighting", self.weighting, aim_variants.WEIGHTINGS)
        options.non_negative("beta", self.beta)
        options.non_negative("penalty", self.penalty)
        self.weight = likelihood_weight(self.value, self.prior.dim) if self.weight is None else self.weight
        options.non_negative("weight", self.weight)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield Algorithm 1's two simultaneous updates for the batch x (n, *shape)."""
        if self.weighting != "none" or self.penalty:
            yield from aim_variants.step(self, x)
            return

        V = GAMES[self.value]
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        f_x, f_z = self.D.features(x), self.D.features(x_z)
        q = self.E(f_z)
        rho_q, rho_p = self.D.head(f_x), self.D.head(f_z)

        L_real, L_fake, L_g = V(rho_q, rho_p)
        L_d = L_real + L_fake
        L_e = likelihood_loss(gaussian_nll(q, z), q)
        yield (
            Update(self.D, L_d, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), L_g + self.weight * L_e, {"adversarial": L_g, "nll": L_e}),
        )
