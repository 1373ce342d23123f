"""Algorithm 1 with additions that the paper does not have: a variance-weighted likelihood, and gradient penalties.

`docs/objectives/aim.md` says what each changes. Every table that shows a variant shows the paper's loss beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimgan.objectives.base import Batch, Update, Updates
from aimgan.objectives.terms import GAMES, gaussian_nll, gradient_penalty, likelihood_loss

if TYPE_CHECKING:
    from aimgan.objectives.aim import AIM

WEIGHTINGS = ("none", "both", "encoder", "generator")


def step(aim: AIM, x: Batch) -> Updates:
    """Yield the simultaneous updates of Algorithm 1 with the options `weighting`, `beta` and `penalty`.

    `weighting` multiplies each dimension's likelihood by its own variance to the power `beta`, taken as a constant
    (Seitzer et al., 2022), in the loss of E ("encoder"), of G ("generator") or of both ("both"). Where G's loss is
    weighted, G no longer follows equation 3. `penalty` is gamma: it adds gamma/2 (R1 + R2) to D's loss (Mescheder et
    al., 2018).
    """
    if aim.penalty > 0:
        x = x.detach().requires_grad_()  # R1 differentiates D in x
    z = aim.prior.sample(len(x))
    x_z = aim.G(z)
    f_x = aim.D.features(x)
    f_z = aim.D.features(x_z)
    q = aim.E(f_z)
    rho_q = aim.D.head(f_x)
    rho_p = aim.D.head(f_z)

    L_real, L_fake, L_g = GAMES[aim.value](rho_q, rho_p)
    L_d = L_real + L_fake
    terms_of_D = {"real": L_real, "fake": L_fake}
    if aim.penalty > 0:
        L_r = gradient_penalty(rho_q, x) + gradient_penalty(rho_p, x_z)
        L_d = L_d + aim.penalty / 2 * L_r
        terms_of_D["penalty"] = L_r
    of_D = Update(aim.D, L_d, terms_of_D)

    nll = gaussian_nll(q, z)
    plain = likelihood_loss(nll, q)
    weighted = likelihood_loss(nll, q, aim.beta)
    terms = {"adversarial": L_g, "nll": plain.detach()}
    if aim.weighting == "none":
        yield of_D, Update((aim.G, aim.E), L_g + aim.weight * plain, terms)
    elif aim.weighting == "both":
        yield of_D, Update((aim.G, aim.E), L_g + aim.weight * weighted, terms)
    elif aim.weighting == "encoder":
        yield of_D, Update(aim.G, L_g + aim.weight * plain, terms), Update(aim.E, aim.weight * weighted)
    else:
        yield of_D, Update(aim.G, L_g + aim.weight * weighted, terms), Update(aim.E, aim.weight * plain)
