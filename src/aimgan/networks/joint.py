"""Discriminators of pairs: (x, z) for ALI and its relatives, (x, x') for ALICE's cycle."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class JointDiscriminator(nn.Module):
    """D(x, z) = head(features(x), embed(z)): raw outputs (n,), no sigmoid (it is in the loss)."""

    def __init__(self, features: nn.Module, embed: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features, self.embed, self.head = features, embed, nn.Sequential(head, nn.Flatten(0))

    def forward(self, x: Float[Tensor, "n ..."], z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return D's raw output for each pair."""
        return self.head(torch.cat([self.features(x).flatten(1), self.embed(z)], dim=1))


class PairDiscriminator(nn.Module):
    """D(x, x'): a discriminator of images with twice the channels (of points with twice the dimensions)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "n ..."], y: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return D's raw output for each pair."""
        return self.network(torch.cat([x, y], dim=1))
