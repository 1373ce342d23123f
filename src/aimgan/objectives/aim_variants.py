"""Algorithm 1 with what we add to it: a likelihood weighted by its variance, and gradient penalties.

The paper has neither. `docs/objectives/aim.md` says what each changes, and every table that shows a variant shows the
paper's loss beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from aimgan.objectives.base import Update
from aimgan.objectives.terms import GAMES, gaussian_nll, gradient_penalty, likelihood_loss

if TYPE_CHECKING:
    from aimgan.objectives.aim import AIM

WEIGHTINGS = ("none", "both", "encoder", "generator")


def step(aim: AIM, x: Tensor) -> Iterator[tuple[Update, ...]]:
    """Yield the simultaneous updates for the batch x (n, *shape) with the options `weighting`, `beta` and `penalty`.

    `weighting` multiplies each dimension's likelihood by its own detached variance to the power `beta` (Seitzer et
    al., 2022), in the loss that "both" E and G see, or only one of them. With it G no longer follows equation 3.
    `penalty`, gamma, adds gamma/2 (R1 + R2) to D's loss (Mescheder et al., 2018).
    """
    if aim.penalty:
        x = x.detach().requires_grad_()  # R1 is of the gradient in x
    z = aim.prior.sample(len(x))
    x_z = aim.G(z)
    f_x, f_z = aim.D.features(x), aim.D.features(x_z)
    q = aim.E(f_z)
    rho_q, rho_p = aim.D.head(f_x), aim.D.head(f_z)

    L_real, L_fake, L_g = GAMES[aim.value](rho_q, rho_p)
    L_d, terms_of_D = L_real + L_fake, {"real": L_real, "fake": L_fake}
    if aim.penalty:
        L_r = gradient_penalty(rho_q, x) + gradient_penalty(rho_p, x_z)
        L_d, terms_of_D = L_d + aim.penalty / 2 * L_r, terms_of_D | {"penalty": L_r}
    D = Update(aim.D, L_d, terms_of_D)

    nll = gaussian_nll(q, z)
    L_e = likelihood_loss(nll, q, aim.beta if aim.weighting in ("both", "encoder") else 0.0)
    terms = {"adversarial": L_g, "nll": likelihood_loss(nll.detach(), q)}
    if aim.weighting in ("none", "both"):
        yield D, Update((aim.G, aim.E), L_g + aim.weight * L_e, terms)
        return
    # E and G see different likelihoods (the controls of science.md 2), so their common update becomes two.
    L_e_of_G = likelihood_loss(nll, q, aim.beta if aim.weighting == "generator" else 0.0)
    yield D, Update(aim.G, L_g + aim.weight * L_e_of_G, terms), Update(aim.E, aim.weight * L_e)
