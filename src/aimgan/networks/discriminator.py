"""D in two parts, so that the encoder can read what the first has learned."""

from __future__ import annotations

from torch import Tensor, nn


class Discriminator(nn.Module):
    """D(x) = head(features(x)): raw outputs (n,), no sigmoid (it is in the loss)."""

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features, self.head = features, nn.Sequential(head, nn.Flatten(0))

    def forward(self, x: Tensor) -> Tensor:
        """Return D's raw output for each image of x (n, *shape)."""
        return self.head(self.features(x))
