"""GAN (Goodfellow et al., 2014): generate only. Table 1's control, with AIM's generator and discriminator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import GAMES, gradient_penalty


@dataclass(eq=False)
class GAN:
    """Equation 7:  min over G  max over D  of  E_q(x)[ log D(x) ] + E_p(z)[ log(1 - D(G(z))) ].

    G descends the non-saturating -log D(G(z)). The updates are simultaneous, so that AIM differs by its encoder only.
    `penalty`, gamma, adds gamma/2 (R1 + R2) to D's loss; with `value="relativistic"` it is R3GAN (Huang et al., 2024).
    """

    G: nn.Module
    D: nn.Module
    prior: Prior
    value: str = "gan"
    penalty: float = 0.0

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = None
    G_sees: ClassVar[str] = "prior"

    def __post_init__(self) -> None:
        options.choice("value", self.value, GAMES)
        options.non_negative("penalty", self.penalty)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield the simultaneous pair of updates for the batch x (n, *shape)."""
        V = GAMES[self.value]
        x = x.detach().requires_grad_() if self.penalty else x  # R1 is of the gradient in x
        x_z = self.G(self.prior.sample(len(x)))
        rho_q, rho_p = self.D(x), self.D(x_z)

        L_real, L_fake, L_g = V(rho_q, rho_p)
        L_d, terms_of_D = L_real + L_fake, {"real": L_real, "fake": L_fake}
        if self.penalty:
            L_r = gradient_penalty(rho_q, x) + gradient_penalty(rho_p, x_z)
            L_d, terms_of_D = L_d + self.penalty / 2 * L_r, terms_of_D | {"penalty": L_r}
        yield Update(self.D, L_d, terms_of_D), Update(self.G, L_g, {"adversarial": L_g})
