"""DualGAN (Yi et al., 2017, Algorithm 1): two Wasserstein games, and an l1 cycle in both directions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from aimgan.errors import AimganError
from aimgan.objectives import options
from aimgan.objectives.base import Batch, Prior, Update, Updates
from aimgan.objectives.terms import absolute_distance, mean


@dataclass(eq=False)
class DualGAN:
    """D: E D(x_z) - E D(x).   D_z: E D_z(z_x) - E D_z(z)   (equations 1 and 2).

    G, E: lambda E|x - G(z_x)|_1 + lambda E|z - E(x_z)|_1 - E D(x_z) - E D_z(z_x)   (equation 3).

    x is a sample of the data set A, and z one of B: p(z) is a data set. G: B -> A and E: A -> B. Norms are means over
    elements. `weight` is lambda. D and D_z are critics: after each of their `critic_steps` moves, all their parameters
    are clipped to [-`clip`, `clip`]. Each of these moves sees other samples of B.
    """

    G: nn.Module
    E: nn.Module
    D: nn.Module
    D_z: nn.Module
    prior: Prior
    weight: float = 200.0
    clip: float = 0.01
    critic_steps: int = 3

    reads_features = False
    posterior = "point"
    G_sees = "both"
    E_sees = "both"

    def __post_init__(self) -> None:
        options.non_negative("weight", self.weight)
        options.positive("clip", self.clip)
        if self.critic_steps < 1:
            raise AimganError(f"critic_steps is {self.critic_steps}; expected a number >= 1")

    def step(self, x: Batch) -> Updates:
        """Yield `critic_steps` simultaneous moves of both critics, and then the move of G and E."""
        z_x = self.E(x).mean
        for _ in range(self.critic_steps):
            z = self.prior.sample(len(x))
            x_z = self.G(z)
            yield self._of_critic(self.D, x, x_z.detach()), self._of_critic(self.D_z, z, z_x.detach())

        L_g = -mean(self.D(x_z)) - mean(self.D_z(z_x))
        L_cycle = absolute_distance(x, self.G(z_x)) + absolute_distance(z, self.E(x_z).mean)
        yield Update((self.G, self.E), L_g + self.weight * L_cycle, {"adversarial": L_g, "cycle": L_cycle})

    def _of_critic(self, D: nn.Module, x: Tensor, made: Tensor) -> Update:
        L_real, L_fake = -mean(D(x)), mean(D(made))
        return Update(D, L_real + L_fake, {"real": L_real, "fake": L_fake}, clip=self.clip)
