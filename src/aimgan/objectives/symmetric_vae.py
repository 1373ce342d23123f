"""Symmetric VAE (Pu et al., 2017): the symmetric KL of both joint distributions, and both likelihoods."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import fake, gaussian_likelihood, gaussian_nll, likelihood_loss, mean, real


@dataclass(eq=False)
class SymmetricVAE:
    """min over G, E  of  KL(q || p) + KL(p || q) - lambda ( E_q[log p(x|z)] + E_p[log q(z|x)] ).

    q and p are the joint distributions of (x, z). D_xz estimates f = log q - log p by logistic regression, and the sum
    of both KLs is E_q[f] - E_p[f]. f is held fixed within a step, so E descends the first KL only and G the second:
    docs/objectives/symmetric-vae.md says what is missing. p(x|z) is N(G(z), sigma^2 I) in the networks' own units;
    `weight` is lambda.
    """

    G: nn.Module
    E: nn.Module
    D_xz: nn.Module
    prior: Prior
    weight: float = 1.0
    sigma: float = 1.0

    reads_features = False
    posterior = "gaussian"
    G_sees = "both"
    E_sees = "both"

    def __post_init__(self) -> None:
        options.non_negative("weight", self.weight)
        options.positive("sigma", self.sigma)

    def step(self, x: Batch) -> Updates:
        """Yield the two simultaneous updates."""
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        z_x = self.E(x).sample(1)[0]
        f_q = self.D_xz(x, z_x)
        f_p = self.D_xz(x_z, z)
        q = self.E(x_z)

        L_q, L_p = real(f_q), fake(f_p)
        kl = mean(f_q) - mean(f_p)
        nll_x = gaussian_likelihood(x, self.G(z_x), self.sigma)
        nll_z = likelihood_loss(gaussian_nll(q, z), q)
        terms = {"symmetric kl": kl, "nll of x": nll_x, "nll of z": nll_z}
        yield (
            Update(self.D_xz, L_q + L_p, {"data": L_q, "generated": L_p}),
            Update((self.G, self.E), kl + self.weight * (nll_x + nll_z), terms),
        )
