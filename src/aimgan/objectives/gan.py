"""GAN (Goodfellow et al., 2014): generate only. Table 1's control, with AIM's generator and discriminator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import VALUE_FUNCTIONS


@dataclass(eq=False)
class GAN:
    """Equation 7:  min over G  max over D  of  E_q(x)[ log D(x) ] + E_p(z)[ log(1 - D(G(z))) ].

    G descends the non-saturating -log D(G(z)). The updates are simultaneous, so that AIM differs by its encoder only.
    """

    G: nn.Module
    D: nn.Module
    prior: Prior
    value: str = "gan"

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        options.choice("value", self.value, VALUE_FUNCTIONS)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield the simultaneous pair of updates for the batch x (n, *shape)."""
        V = VALUE_FUNCTIONS[self.value]
        x_z = self.G(self.prior.sample(len(x)))
        rho_q, rho_p = self.D(x), self.D(x_z)

        L_real, L_fake, L_g = V.real(rho_q), V.fake(rho_p), V.generator(rho_p)
        yield (
            Update(self.D, L_real + L_fake, {"real": L_real, "fake": L_fake}),
            Update(self.G, L_g, {"adversarial": L_g}),
        )
