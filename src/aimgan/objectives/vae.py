"""VAE (Kingma and Welling, 2014): the evidence lower bound, which is equation 5 without its constant."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import LIKELIHOODS, data_likelihood, gaussian_kl


@dataclass(eq=False)
class VAE:
    """min over G, E  of  E_q(x)[ KL(q(z|x) || p(z)) ] + E_q(x)q(z|x)[ -log p(x|z) ]:  equation 5's I_vae + II_vae.

    p(x|z) is N(G(z), sigma^2 I) in the networks' own units, or with `likelihood` "bernoulli" the product of
    Bernoulli(G(z)), for images in [0, 1].
    """

    G: nn.Module
    E: nn.Module
    prior: Prior
    likelihood: str = "gaussian"
    sigma: float = 1.0

    reads_features = False
    posterior = "gaussian"
    G_sees = "data"
    E_sees = "data"

    def __post_init__(self) -> None:
        options.choice("likelihood", self.likelihood, LIKELIHOODS)
        options.positive("sigma", self.sigma)

    def step(self, x: Batch) -> Updates:
        """Yield the one update."""
        q = self.E(x)
        x_z_x = self.G(q.sample(1)[0])
        I_vae = gaussian_kl(q)
        II_vae = data_likelihood(self.likelihood, x, x_z_x, self.sigma)
        yield Update((self.G, self.E), I_vae + II_vae, {"kl": I_vae, "reconstruction": II_vae})
