"""The stochastic generator G(z, eps) of section 4.6."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aimgan import noise


class StochasticGenerator(nn.Module):
    """x~ = G(z, eps), eps ~ N(0, I). It draws eps itself, so that an objective can use it as any generator.

    `network` maps (n, dim + noise_dim) to images.
    """

    def __init__(self, network: nn.Module, noise_dim: int) -> None:
        super().__init__()
        self.network, self.noise_dim = network, noise_dim

    def forward(self, z: Float[Tensor, "n d"], eps: Float[Tensor, "n e"] | None = None) -> Tensor:
        """Return G(z, eps); eps is drawn unless it is given."""
        if eps is None:
            eps = noise.normal(len(z), self.noise_dim, device=z.device, dtype=z.dtype)
        return self.network(torch.cat([z, eps], dim=1))
