"""AVB (Mescheder et al., 2017, Algorithm 1): a VAE whose q(z|x) is any sampler, its KL estimated by a discriminator."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import LIKELIHOODS, data_likelihood, fake, mean, real


@dataclass(eq=False)
class AVB:
    """min over G, E  of  E_q(x)q(z|x)[ T(x, z) - log p(x|z) ],   T* = log q(z|x) - log p(z) by logistic regression.

    D_xz is the paper's T, with target 1 for (x, z_x) and target 0 for (x, z), z ~ p(z). E draws its own noise.
    p(x|z) is chosen by `likelihood` and `sigma`, as for the VAE.
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior
    likelihood: str = "gaussian"
    sigma: float = 1.0

    reads_features = False
    posterior = "implicit"
    G_sees = "data"
    E_sees = "data"

    def __post_init__(self) -> None:
        options.choice("likelihood", self.likelihood, LIKELIHOODS)
        options.positive("sigma", self.sigma)

    def step(self, x: Batch) -> Updates:
        """Yield Algorithm 1's two simultaneous updates."""
        z = self.prior.sample(len(x))
        z_x = self.E(x).sample(1)[0]
        x_z_x = self.G(z_x)
        T_q = self.D_xz(x, z_x)
        T_p = self.D_xz(x, z)

        L_q, L_p = real(T_q), fake(T_p)
        kl = mean(T_q)
        nll = data_likelihood(self.likelihood, x, x_z_x, self.sigma)
        yield (
            Update((self.G, self.E), kl + nll, {"kl": kl, "reconstruction": nll}),
            Update(self.D_xz, L_q + L_p, {"posterior": L_q, "prior": L_p}),
        )
