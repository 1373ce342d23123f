"""GAN (Goodfellow et al., 2014): generation only. Table 1's control, with AIM's generator and discriminator."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import GAMES, gradient_penalty


@dataclass(eq=False)
class GAN:
    """Equation 7:  min over G  max over D  of  E_q(x)[ log D(x) ] + E_p(z)[ log(1 - D(G(z))) ].

    G descends the non-saturating -log D(G(z)). The updates are simultaneous, so that AIM differs by its encoder only.
    `penalty` is gamma: it adds gamma/2 (R1 + R2) to D's loss. With `value="relativistic"` too, this is R3GAN (Huang et
    al., 2024).
    """

    G: nn.Module
    D: nn.Module
    prior: Prior
    value: str = "gan"
    penalty: float = 0.0

    reads_features = False
    posterior = None
    G_sees = "prior"

    def __post_init__(self) -> None:
        options.choice("value", self.value, GAMES)
        options.non_negative("penalty", self.penalty)

    def step(self, x: Batch) -> Updates:
        """Yield the two simultaneous updates."""
        if self.penalty > 0:
            x = x.detach().requires_grad_()  # R1 differentiates D in x
        x_z = self.G(self.prior.sample(len(x)))
        rho_q = self.D(x)
        rho_p = self.D(x_z)

        L_real, L_fake, L_g = GAMES[self.value](rho_q, rho_p)
        L_d = L_real + L_fake
        terms = {"real": L_real, "fake": L_fake}
        if self.penalty > 0:
            L_r = gradient_penalty(rho_q, x) + gradient_penalty(rho_p, x_z)
            L_d = L_d + self.penalty / 2 * L_r
            terms["penalty"] = L_r
        yield Update(self.D, L_d, terms), Update(self.G, L_g, {"adversarial": L_g})
