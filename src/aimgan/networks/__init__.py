"""Networks map tensors. `NETWORKS`: the families that a recipe can name, frozen dataclasses with a method a player."""

from typing import Protocol, runtime_checkable

from torch import nn

from aimgan.networks.discriminator import Discriminator
from aimgan.networks.gaussian import GaussianHead, Posterior, StandardNormal
from aimgan.networks.mlp import MLP
from aimgan.networks.stochastic import StochasticGenerator
from aimgan.networks.table3 import Table3
from aimgan.networks.table4 import Table4


@runtime_checkable
class Networks(Protocol):
    """A family: makes each player anew, with fresh weights from torch's generator."""

    @property
    def shape(self) -> tuple[int, ...]:
        """One sample's shape."""
        ...

    @property
    def dim(self) -> int:
        """The code's dimension d."""
        ...

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The pixel range inside the networks; None for points in their own units."""
        ...

    def G(self) -> nn.Module:
        """The generator, (n, dim) -> (n, *shape)."""
        ...

    def D(self) -> Discriminator:
        """The discriminator, (n, *shape) -> (n,)."""
        ...

    def E(self, reads_features: bool = True, learned_variance: bool = True) -> nn.Module:
        """The encoder: D's features, or x itself, -> q(z|x)."""
        ...

    def features(self) -> nn.Module:
        """The part of D that an encoder can read, (n, *shape) -> features."""
        ...


NETWORKS: dict[str, type] = {"mlp": MLP, "table3": Table3, "table4": Table4}

__all__ = [
    "MLP",
    "NETWORKS",
    "Discriminator",
    "GaussianHead",
    "Networks",
    "Posterior",
    "StandardNormal",
    "StochasticGenerator",
    "Table3",
    "Table4",
]
