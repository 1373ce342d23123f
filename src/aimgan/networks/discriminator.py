"""Discriminators of images, of pairs (x, z) and of pairs (x, x'). They return logits; the sigmoid is in the loss."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Discriminator(nn.Module):
    """D(x) = head(features(x)), in two parts so that an encoder can read the features.

    With more than one `outputs` D tells as many kinds of images apart, and has a logit for each kind.
    """

    def __init__(self, features: nn.Module, head: nn.Module, outputs: int = 1) -> None:
        super().__init__()
        self.features, self.head = features, nn.Sequential(head, nn.Flatten(0 if outputs == 1 else 1))

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the logit of each image, (n,), or the logits of its kinds, (n, outputs)."""
        return self.head(self.features(x))


class JointDiscriminator(nn.Module):
    """D(x, z) = head(features(x), embed(z)), for ALI and the methods built on it."""

    def __init__(self, features: nn.Module, embed: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features, self.embed, self.head = features, embed, nn.Sequential(head, nn.Flatten(0))

    def forward(self, x: Float[Tensor, "n ..."], z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return the logit of each pair."""
        return self.head(torch.cat([self.features(x).flatten(1), self.embed(z)], dim=1))


class PairDiscriminator(nn.Module):
    """D(x, x'): a discriminator of images with twice the channels (of points with twice the dimensions), for ALICE."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "n ..."], y: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the logit of each pair."""
        return self.network(torch.cat([x, y], dim=1))
