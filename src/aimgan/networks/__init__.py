"""Networks. `NETWORKS` has the families that a recipe can name: dataclasses with one method per network."""

from typing import Protocol, runtime_checkable

from torch import nn

from aimgan.networks.data_prior import DataPrior, prior_for
from aimgan.networks.discriminator import Discriminator, JointDiscriminator, PairDiscriminator
from aimgan.networks.gaussian import POINT, GaussianHead, Posterior, StandardNormal
from aimgan.networks.mlp import MLP
from aimgan.networks.own import OWN, OwnNetworks
from aimgan.networks.posterior import POINTS, POSTERIORS, FromSphere, ImplicitPosterior, generator_for
from aimgan.networks.residual import Residual
from aimgan.networks.stochastic import StochasticGenerator
from aimgan.networks.table3 import Table3
from aimgan.networks.table4 import Table4
from aimgan.networks.translator import PointTranslator, Translator


@runtime_checkable
class Networks(Protocol):
    """A family of networks. Each method makes a new player, with fresh weights from torch's generator."""

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

    def features(self) -> nn.Module:
        """The part of D that an encoder can read, (n, *shape) -> features."""
        ...

    def D(self, outputs: int = 1) -> Discriminator:
        """The discriminator, (n, *shape) -> (n,), or (n, outputs) for one of several kinds."""
        ...

    def D_z(self) -> nn.Module:
        """The discriminator of codes, (n, dim) -> (n,)."""
        ...

    def D_xz(self) -> nn.Module:
        """The discriminator of pairs (x, z) -> (n,)."""
        ...

    def D_xx(self) -> nn.Module:
        """The discriminator of pairs (x, x') -> (n,)."""
        ...

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """The encoder: D's features, or x itself -> q(z|x) of a kind of POSTERIORS."""
        ...


NETWORKS: dict[str, type] = {
    "mlp": MLP,
    "table3": Table3,
    "table4": Table4,
    "residual": Residual,
    "own": OwnNetworks,
    "point-translator": PointTranslator,
    "translator": Translator,
}

__all__ = [
    "MLP",
    "NETWORKS",
    "OWN",
    "POINT",
    "POINTS",
    "POSTERIORS",
    "DataPrior",
    "Discriminator",
    "FromSphere",
    "GaussianHead",
    "ImplicitPosterior",
    "JointDiscriminator",
    "Networks",
    "OwnNetworks",
    "PairDiscriminator",
    "PointTranslator",
    "Posterior",
    "Residual",
    "StandardNormal",
    "StochasticGenerator",
    "Table3",
    "Table4",
    "Translator",
    "generator_for",
    "prior_for",
]
