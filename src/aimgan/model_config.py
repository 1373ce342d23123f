"""What rebuilds a model: the networks' family, what its encoder is, and how its networks are normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aimgan.checked import MAX_FLOAT, values_for
from aimgan.errors import AimganError, near_miss
from aimgan.networks import NETWORKS, POINTS, Networks
from aimgan.networks.batch_norm import DATA, PRIOR, SIDES
from aimgan.networks.sizes import require_sizes


@dataclass(frozen=True)
class ModelConfig:
    """All that rebuilds a model: the networks' family and arguments, and what its encoder is."""

    networks: str  # a name of NETWORKS
    arguments: Mapping[str, Any]  # of that family
    objective: str
    posterior: str | None  # what the encoder answers, of networks.POSTERIORS; None for a GAN
    reads_features: bool  # the encoder reads the discriminator's features
    about: Mapping[str, Any] = field(default_factory=dict)  # for people: recipe, data, seed, steps
    G_sees: str = PRIOR  # what passes G in training, of networks.batch_norm.SIDES
    E_sees: str = PRIOR  # what passes E in training

    def __post_init__(self) -> None:
        for sees in (self.G_sees, self.E_sees):
            if sees not in SIDES:
                raise near_miss("batch that a network sees", sees, SIDES)
        if self.posterior is not None and DATA in SIDES[self.G_sees] and DATA not in SIDES[self.E_sees]:
            raise AimganError(
                f"G_sees is {self.G_sees} and E_sees is {self.E_sees}; expected E_sees data or both, since the "
                "codes of data that G sees are made by E"
            )

    @property
    def encoder(self) -> bool:
        """Whether the model can infer."""
        return self.posterior is not None

    @property
    def deterministic(self) -> bool:
        """Whether the encoder answers with a point, which has no density."""
        return self.posterior in POINTS

    @property
    def scale(self) -> tuple[float, float] | None:
        """What black and white were, where the model was trained on images of floats or 32-bit integers."""
        told = self.about.get("scale")
        if not isinstance(told, list | tuple) or len(told) != 2:
            return None
        if not all(isinstance(value, int | float) and abs(value) <= MAX_FLOAT for value in told):
            return None
        black, white = map(float, told)
        return (black, white) if black < white else None

    def family(self) -> Networks:
        """Return the family of networks. Raises AimganError for a name, an argument or a size that it cannot have."""
        if self.networks not in NETWORKS:
            raise near_miss("network family", self.networks, NETWORKS)
        cls = NETWORKS[self.networks]
        family = cls(**values_for(cls, self.arguments, f"argument of {self.networks}"))
        require_sizes(family)
        return family
