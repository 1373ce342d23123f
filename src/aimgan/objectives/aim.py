"""AIM (anonymous authors, 2019, Algorithm 1): a GAN whose images must tell an encoder the codes they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from aimgan.objectives import options
from aimgan.objectives.base import Prior, Update
from aimgan.objectives.terms import GAMES, gaussian_nll, gradient_penalty, likelihood_loss


@dataclass(eq=False)
class AIM:
    """Equation 9:  min over G, E  max over D  of  V(G, D) + lambda E_p(z)[ L(z, E(G(z))) ].

    V is equation 7 (`value="gan"`), L = -log q(z|x) is equation 8, and lambda = `weight`, 1/d unless it is given.
    E reads D's features and never updates them (section 5).

    `weighting` is ours, not the paper's: it multiplies each dimension's likelihood by its own detached variance to the
    power `beta`, in the loss that "both" E and G see, or only one of them. With it G no longer follows equation 3.
    `penalty`, gamma, adds gamma/2 (R1 + R2) to D's loss: ours too, as is `value="relativistic"`.
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
        options.choice("weighting", self.weighting, ("none", "both", "encoder", "generator"))
        options.non_negative("beta", self.beta)
        options.non_negative("penalty", self.penalty)
        self.weight = 1 / self.prior.dim if self.weight is None else self.weight
        options.non_negative("weight", self.weight)

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        """Yield Algorithm 1's two simultaneous updates for the batch x (n, *shape)."""
        V = GAMES[self.value]
        x = x.detach().requires_grad_() if self.penalty else x  # R1 is of the gradient in x
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        f_x, f_z = self.D.features(x), self.D.features(x_z)
        q = self.E(f_z)
        rho_q, rho_p = self.D.head(f_x), self.D.head(f_z)

        L_real, L_fake, L_g = V(rho_q, rho_p)
        L_d, terms_of_D = L_real + L_fake, {"real": L_real, "fake": L_fake}
        if self.penalty:
            L_r = gradient_penalty(rho_q, x) + gradient_penalty(rho_p, x_z)
            L_d, terms_of_D = L_d + self.penalty / 2 * L_r, terms_of_D | {"penalty": L_r}
        nll = gaussian_nll(q, z)
        L_e = likelihood_loss(nll, q, self.beta if self.weighting in ("both", "encoder") else 0.0)
        D = Update(self.D, L_d, terms_of_D)
        terms = {"adversarial": L_g, "nll": likelihood_loss(nll.detach(), q)}

        if self.weighting in ("none", "both"):
            yield D, Update((self.G, self.E), L_g + self.weight * L_e, terms)
        else:
            # E and G see different likelihoods (the controls of science.md 2): the pair's second line in two parts.
            L_e_of_G = likelihood_loss(nll, q, self.beta if self.weighting == "generator" else 0.0)
            yield D, Update(self.G, L_g + self.weight * L_e_of_G, terms), Update(self.E, self.weight * L_e)
