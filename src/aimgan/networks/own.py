"""Networks of a caller's own, as modules or as functions that make them. A file never names code that makes them.

A saved model of such networks holds their weights. Who loads it passes the networks again: `aimgan.load(folder,
networks=...)`, or `--import MODULE` on the command line, which puts the module's networks into `OWN`.
"""

from __future__ import annotations

import hashlib
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from aimgan.errors import AimganError

PLAYERS = ("G", "E", "D", "D_z", "D_xz", "D_xx", "D_m")
Player = nn.Module | Callable[[], Any]
OWN: dict[str, Player] = {}  # the networks of the modules that `--import` named
ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class OwnNetworks:
    """The networks that `aimgan.fit` describes, as a family.

    `pixels` are the values of black and white inside the networks; None for points. `module` is the name of the module
    that the networks were defined in, for messages. `printed` has a checksum of each network's printed form.
    """

    shape: tuple[int, ...] = (1, 8, 8)
    dim: int = 8
    pixels: tuple[int, ...] | None = (0, 1)
    module: str = ""
    printed: str = ""
    players: Mapping[str, Player] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        black, white = self.pixels if self.pixels is not None and len(self.pixels) == 2 else (0, 0)
        if self.pixels is not None and not black < white:
            raise AimganError(f"pixels is {self.pixels}; expected the values of black and white: (0, 1), or (-1, 1)")

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The pixel range inside the networks; None for points in their own units."""
        if self.pixels is None or len(self.shape) == 1:
            return None
        black, white = self.pixels
        return float(black), float(white)

    def G(self) -> nn.Module:
        """The generator, (n, dim) -> (n, *shape)."""
        return self.made("G")

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """The encoder, D's features or x -> Posterior."""
        return self.made("E")

    def D(self, outputs: int = 1) -> Any:
        """The discriminator, (n, *shape) -> (n,), or (n, outputs): recipes/own.py checks which."""
        return self.made("D")

    def features(self) -> nn.Module:
        """The part of D that an encoder can read."""
        return self.made("D").features

    def D_z(self) -> nn.Module:
        """The discriminator of codes, (n, dim) -> (n,)."""
        return self.made("D_z")

    def D_xz(self) -> nn.Module:
        """The discriminator of pairs (x, z) -> (n,)."""
        return self.made("D_xz")

    def D_xx(self) -> nn.Module:
        """The discriminator of pairs (x, x') -> (n,)."""
        return self.made("D_xx")

    def D_m(self) -> nn.Module:
        """The second discriminator of samples, (n, *shape) -> (n,)."""
        return self.made("D_m")

    def made(self, name: str) -> Any:
        """Return a copy of a network, or a new one where a function makes it. Raises AimganError if it is missing."""
        player = self.players.get(name, OWN.get(name))
        if player is None:
            of = f", of {self.module}" if self.module else ""
            raise AimganError(
                f"this model has networks of a user's own{of}: give {name} and the others, "
                "as aimgan.load(folder, networks=...) with a module or a dictionary, or by --import MODULE"
            )
        if isinstance(player, nn.Module):
            return deepcopy(player).to("cpu")
        made = player()
        if not isinstance(made, nn.Module):
            raise AimganError(
                f"{name} made a {type(made).__name__}; expected a function that returns a torch.nn.Module"
            )
        return made

    def warn_of_changes(self) -> None:
        """Warn about networks that are not printed as those that were trained, such as with another activation."""
        for part in self.printed.split():
            name, _, then = part.partition("=")
            if name in (self.players or OWN) and printed(self.made(name)) != then:
                warnings.warn(
                    f"{name} is not printed as the {name} that was trained: is it another network?", stacklevel=2
                )


def own_networks(networks: Any, **settings: Any) -> OwnNetworks:
    """Return the family of the networks in a module, a dictionary or any object that has them by their names."""
    players = players_of(networks)
    checksums = []
    for name in players:
        checksums.append(f"{name}={printed(OwnNetworks(players=players).made(name))}")
    return OwnNetworks(module=_module(players["G"]), printed=" ".join(checksums), players=players, **settings)


def players_of(networks: Any) -> dict[str, Player]:
    """Return the networks in a module, a dictionary or any object. Raises AimganError where there is no G."""
    players = {}
    for name in PLAYERS:
        player = networks.get(name) if isinstance(networks, Mapping) else getattr(networks, name, None)
        if callable(player):
            players[name] = player
    if "G" not in players:
        raise AimganError(f"networks has no G; expected networks of the names {', '.join(PLAYERS)}, or functions")
    return players


def printed(network: nn.Module) -> str:
    """Return a checksum of a network's printed form, which names its layers and their settings."""
    return hashlib.sha256(ADDRESS.sub("", repr(network)).encode()).hexdigest()[:8]


def _module(player: Player) -> str:
    """Return the name of the module that defines a network or the function that makes it; "" if that is unknown."""
    maker = type(player) if isinstance(player, nn.Module) else player
    name = str(getattr(maker, "__module__", ""))
    if name == "__main__":
        name = Path(getattr(sys.modules["__main__"], "__file__", None) or "").stem
    return "" if name.startswith("torch.") else name
