"""IAN (Brock et al., 2017): a VAE whose encoder is a head of the discriminator, which names three kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import absolute_distance, class_nll, gaussian_kl, orthogonality, wide

REAL, GENERATED, RECONSTRUCTED = range(3)


@dataclass(eq=False)
class IAN:
    """G, E: lambda_adv L_adv + lambda_img L_img + lambda_feature L_feature + KL(q(z|x) || p(z)).   D: L_D.

    D(x) has three logits. L_D is the cross-entropy of x with "real", of G(z) with "generated" and of G(z_x) with
    "reconstructed"; L_adv is that of G(z) and G(z_x) with "real". L_img is the mean of |x - G(z_x)|, and L_feature that
    of (f(x) - f(G(z_x)))^2, f D's features. E reads f(x) and never updates f. Every network's loss also has
    `orthogonal_weight` times L_ortho = sum over its filter banks W of |W W^T - I|.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    prior: Prior
    adversarial_weight: float = 1.0
    pixel_weight: float = 3.0
    feature_weight: float = 1.0
    orthogonal_weight: float = 1e-3

    reads_features = True
    posterior = "gaussian"
    G_sees = "both"
    E_sees = "data"
    D_outputs: ClassVar[int] = 3

    def __post_init__(self) -> None:
        for name in ("adversarial_weight", "pixel_weight", "feature_weight", "orthogonal_weight"):
            options.non_negative(name, getattr(self, name))

    def step(self, x: Batch) -> Updates:
        """Yield the two simultaneous updates."""
        f_x = self.D.features(x)
        q = self.E(f_x.detach())  # else D's own loss would move its features by way of the reconstruction
        x_z_x = self.G(q.sample(1)[0])
        x_z = self.G(self.prior.sample(len(x)))
        f_r = self.D.features(x_z_x)
        rho_q, rho_r, rho_p = self.D.head(f_x), self.D.head(f_r), self.D(x_z)

        L_real = class_nll(rho_q, REAL)
        L_fake = class_nll(rho_p, GENERATED)
        L_r = class_nll(rho_r, RECONSTRUCTED)
        L_d = L_real + L_fake + L_r

        L_adv = class_nll(rho_p, REAL) + class_nll(rho_r, REAL)
        L_img = absolute_distance(x, x_z_x)
        L_feature = wide(f_x - f_r).square().mean()
        kl = gaussian_kl(q) / self.prior.dim  # a mean, as the other terms are
        L_rec = self.pixel_weight * L_img + self.feature_weight * L_feature + kl

        ortho_d = self.orthogonal_weight * orthogonality(self.D)
        ortho_g = self.orthogonal_weight * orthogonality(self.G, self.E)
        parts = {"adversarial": L_adv, "pixels": L_img, "features": L_feature, "kl": kl, "penalty": ortho_g}
        yield (
            Update(self.D, L_d + ortho_d, {"real": L_real, "fake": L_fake, "reconstructed": L_r, "penalty": ortho_d}),
            Update((self.G, self.E), self.adversarial_weight * L_adv + L_rec + ortho_g, parts),
        )
