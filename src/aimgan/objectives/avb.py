"""AVB (Mescheder et al., 2017, Algorithm 1): a VAE whose q(z|x) is any sampler, its KL estimated by a discriminator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import LIKELIHOODS, data_likelihood, fake, real


@dataclass(eq=False)
class AVB:
    """min over G, E  of  E_q(x)q(z|x)[ T(x, z) - log p(x|z) ],   T* = log q(z|x) - log p(z) by logistic regression.

    D_xz is the paper's T: it says "real" of (x, z_x) and "generated" of (x, z), z ~ p(z). E draws noise of its own.
    p(x|z) as for the VAE.
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior
    likelihood: str = "gaussian"
    sigma: float = 1.0

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "implicit"
    G_sees: ClassVar[str] = "data"
    E_sees: ClassVar[str] = "data"

    def __post_init__(self) -> None:
        options.choice("likelihood", self.likelihood, LIKELIHOODS)
        options.positive("sigma", self.sigma)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield Algorithm 1's simultaneous updates for the batch x (n, *shape)."""
        z = self.prior.sample(len(x))
        z_x = self.E(x).sample(1)[0]
        x_z_x = self.G(z_x)
        T_q, T_p = self.D_xz(x, z_x), self.D_xz(x, z)

        L_q, L_p, kl = real(T_q), fake(T_p), T_q.mean()
        nll = data_likelihood(self.likelihood, x, x_z_x, self.sigma)
        yield (
            Update((self.G, self.E), kl + nll, {"kl": kl, "reconstruction": nll}),
            Update(self.D_xz, L_q + L_p, {"posterior": L_q, "prior": L_p}),
        )
