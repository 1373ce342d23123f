"""config.json of a saved model: everything that is needed to rebuild its networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from aimgan.checked import MAX_FLOAT, read_json, values_for
from aimgan.errors import OF_YOUR_OWN, AimganError, near_miss
from aimgan.networks import NETWORKS, POINTS, Networks, OwnNetworks
from aimgan.networks.batch_norm import BATCHES, DATA, PRIOR
from aimgan.networks.own import players_of
from aimgan.networks.own_encoder import kind_for
from aimgan.networks.sizes import require_sizes

FORMAT = 5  # of config.json
READABLE = (2, 3, 4, 5)  # 2 has one set of batch-norm statistics for each network, 3 no own encoder, 4 one kind of them


@dataclass(frozen=True)
class ModelConfig:
    """The family and arguments of the networks, the kind of posterior, and the batches that normalise each network."""

    networks: str  # a name of NETWORKS
    arguments: Mapping[str, Any]  # of that family
    objective: str
    posterior: str | None  # what the encoder returns, of networks.POSTERIORS; None for a model without an encoder
    reads_features: bool  # the encoder reads the discriminator's features
    about: Mapping[str, Any] = field(default_factory=dict)  # for people: recipe, data, seed, steps
    G_sees: str = PRIOR  # the batches of codes that pass through G in training: a key of batch_norm.BATCHES
    E_sees: str = PRIOR  # the batches of images that pass through E in training
    players: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # of OwnNetworks; never saved
    own_encoder: int = 0  # the width of an encoder with a trunk of its own (networks/own_encoder.py); 0: the family's E
    trunk: str = "halving"  # the kind of that trunk

    def __post_init__(self) -> None:
        for name in ("G_sees", "E_sees"):
            if getattr(self, name) not in BATCHES:
                raise near_miss(f"value of {name}", getattr(self, name), BATCHES)
        if self.posterior is not None and DATA in BATCHES[self.G_sees] and DATA not in BATCHES[self.E_sees]:
            raise AimganError(
                f"G_sees is {self.G_sees} and E_sees is {self.E_sees}; expected E_sees data or both, since the "
                "codes of data that G sees are made by E"
            )

    @property
    def deterministic(self) -> bool:
        """Whether the encoder returns a point, which has no density."""
        return self.posterior in POINTS

    @property
    def scale(self) -> tuple[float, float] | None:
        """The values of black and white, where the model was trained on images of floats or 32-bit integers."""
        scale = self.about.get("scale")
        if not isinstance(scale, list | tuple) or len(scale) != 2:
            return None
        for value in scale:
            if not isinstance(value, int | float) or not abs(value) <= MAX_FLOAT:
                return None
        black, white = map(float, scale)
        return (black, white) if black < white else None

    def family(self) -> Networks:
        """Return the family of networks. Raises AimganError for an unknown name, argument or size."""
        if self.networks not in NETWORKS:
            raise near_miss("network family", self.networks, NETWORKS, OF_YOUR_OWN)
        cls = NETWORKS[self.networks]
        family = cls(**values_for(cls, self.arguments, f"argument of {self.networks}"))
        if isinstance(family, OwnNetworks):
            family = replace(family, players=self.players)
        require_sizes(family)
        return family

    def saved(self) -> dict[str, Any]:
        """Return the settings that config.json has."""
        return {name: getattr(self, name) for name in SAVED}


SAVED = [f.name for f in fields(ModelConfig) if f.compare]


def with_networks(config: ModelConfig, networks: Any) -> ModelConfig:
    """Return the config of a model of a caller's own networks with those networks, to be built from.

    Raises AimganError for a model that was trained with a family of NETWORKS.
    """
    if not isinstance(config.family(), OwnNetworks):
        raise AimganError(f"this model's networks are the family {config.networks}: leave networks= out")
    return replace(config, players=players_of(networks))


def warn_of_changes(config: ModelConfig) -> None:
    """Warn where a caller's own networks are not printed as those that were trained."""
    family = config.family()
    if isinstance(family, OwnNetworks):
        family.warn_of_changes()


def with_own_encoder(config: ModelConfig, width: int | None = None) -> ModelConfig:
    """Return the config of a model whose encoder is replaced by one with a trunk of its own (None: the usual width)."""
    trunk, usual = kind_for(config.family().shape)
    return replace(config, posterior="gaussian", reads_features=False, own_encoder=width or usual, trunk=trunk)


def read_config(path: Path) -> ModelConfig:
    """Read config.json. Raises AimganError for another format or an unknown setting; ValueError, KeyError or OSError
    for a file that is damaged.
    """
    values = read_json(path)
    if values["format"] not in READABLE:
        raise AimganError(f"{path.parent} is in format {values['format']}; this aimgan reads {FORMAT}: upgrade aimgan")
    given = {}
    for setting in fields(ModelConfig):
        required = setting.default is MISSING or values["format"] == FORMAT
        if setting.name in SAVED and (required or setting.name in values):
            given[setting.name] = values[setting.name]
    return ModelConfig(**values_for(ModelConfig, given, "setting of a model"))
