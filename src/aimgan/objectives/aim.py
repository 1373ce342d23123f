"""AIM (anonymous authors, 2019, Algorithm 1): a GAN whose images must tell an encoder the codes they were made from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.errors import AimganError
from aimgan.objectives import aim_variants, options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import GAMES, gaussian_nll, likelihood_loss, likelihood_weight


@dataclass(eq=False)
class AIM:
    """Equation 9:  min over G, E  max over D  of  V(G, D) + lambda E_p(z)[ L(z, E(G(z))) ].

    V is equation 7 (`value="gan"`) or equation 6 ("f-gan"; "f-gan-swapped" exchanges p and q in it). L = -log q(z|x) is
    equation 8. `weight` is lambda, by default 1/d with equation 7 and 1 with equation 6. E reads D's features and never
    updates them (section 5).

    `weighting`, `beta`, `penalty` (aim_variants.py) and `value="relativistic"` (terms.py) are not in the paper. The
    recipe `grid/aim` sets `weighting`; all others take the paper's step below.
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

    reads_features = True
    posterior = "gaussian"
    G_sees = "prior"
    E_sees = "prior"

    def __post_init__(self) -> None:
        options.choice("value", self.value, GAMES)
        options.choice("weighting", self.weighting, aim_variants.WEIGHTINGS)
        options.non_negative("beta", self.beta)
        if self.beta != 1 and self.weighting == "none":
            raise AimganError(f"beta is {self.beta}, but weighting is none, so beta has no effect: set weighting=both")
        options.non_negative("penalty", self.penalty)
        if self.weight is None:
            self.weight = likelihood_weight(self.value, self.prior.dim)
        options.non_negative("weight", self.weight)

    def step(self, x: Batch) -> Updates:
        """Yield Algorithm 1's two simultaneous updates."""
        if self.weighting != "none" or self.penalty > 0:
            yield from aim_variants.step(self, x)
            return

        z = self.prior.sample(len(x))  # z ~ p(z)
        x_z = self.G(z)  # the paper's x~
        f_x = self.D.features(x)
        f_z = self.D.features(x_z)
        q = self.E(f_z)  # q(z|x~) = N(mu(x~), sigma^2(x~)); through D's features to G, but D is not among those moved
        rho_q = self.D.head(f_x)  # D(x), a logit
        rho_p = self.D.head(f_z)  # D(x~)

        game = GAMES[self.value]
        L_real, L_fake, L_g = game(rho_q, rho_p)  # D's two terms of V, and G's
        L_d = L_real + L_fake
        L_e = likelihood_loss(gaussian_nll(q, z), q)  # without lambda, which is in L_rec
        L_rec = L_g + self.weight * L_e
        yield (
            Update(self.D, L_d, {"real": L_real, "fake": L_fake}),
            Update((self.G, self.E), L_rec, {"adversarial": L_g, "nll": L_e}),
        )
