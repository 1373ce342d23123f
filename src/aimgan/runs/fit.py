"""Training of networks that are not aimgan's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from aimgan.errors import AimganError, near_miss
from aimgan.model import LatentVariableModel
from aimgan.networks.own import PLAYERS, Player
from aimgan.objectives import OBJECTIVES
from aimgan.recipes.assemble import POOLS, player_names
from aimgan.recipes.own import own_recipe
from aimgan.recipes.resolving import FLAGS
from aimgan.runs.train import train


def fit(
    *,
    G: Player,
    data: Any,
    D: Player | None = None,
    E: Player | None = None,
    objective: str = "aim",
    output: str | Path | None = None,
    **more: Any,
) -> LatentVariableModel:
    """Train networks of your own, with everything that a run of aimgan has: checkpoints, scores, a report, a model.

        from aimgan.networks import Discriminator, GaussianHead

        def G():
            hidden = nn.Sequential(nn.Linear(8, 64), nn.ReLU())
            return nn.Sequential(hidden, nn.Linear(64, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))

        def D():
            features = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.LeakyReLU(0.2))
            return Discriminator(features, nn.Linear(64, 1))

        def E():
            return GaussianHead(nn.Linear(64, 8), nn.Linear(64, 8))

        model = aimgan.fit(G=G, D=D, E=E, objective="aim", data=x, output="runs/mine")
        model = aimgan.load("runs/mine", networks={"G": G, "D": D, "E": E})

    Each network is a torch.nn.Module, which is copied, or a function that makes one, whose weights then depend on
    `seed` only:

        G    codes (n, dim) -> samples (n, c, side, side) with pixels in [0, 1], or points (n, d)
        D    samples -> logits (n,), without a sigmoid
        E    -> aimgan.networks.Posterior(mean, log_variance) of the code, (n, dim) each: GaussianHead ends an E so

    **What E reads** depends on the objective. With "aim", "aim-minus" and the others whose `reads_features` is True, E
    gets D's features and never the image: D then has two parts, D(x) = D.head(D.features(x)), as
    aimgan.networks.Discriminator(features, head) has, and E is called as E(D.features(x)). E's loss does not change D.
    With the others ("ali", "vae", ...) E is called as E(x). An objective without an encoder ("gan") takes no E.

    Args:
        data: as for `aimgan.train`; images are scaled and cropped to the size of G's.
        objective: a name of aimgan.OBJECTIVES. Some fix the variance: "aim-minus" wants GaussianHead(mean, 0.0).
        output: the run's folder; runs/own-<objective> without one.
        more: D_z, D_xz, D_xx or D_m for objectives that have them (docs/api.md has their meaning); `dim`, by default
            the first number of inputs that G takes; `pixels=(-1, 1)` for a G that ends in tanh; and all other arguments
            of `aimgan.train`. By default there are 6,000 steps of 100 images at a rate of 1e-3 that falls to 0.

    The same call goes on from the newest checkpoint. Raises AimganError, before the first step, for networks that do
    not fit together, and as `aimgan.train` does.
    """
    allowed = ("dim", "pixels", *PLAYERS[3:], *FLAGS, "console")
    for name in more:
        if name not in allowed:
            raise near_miss("argument", name, allowed)
    given = {"G": G, "E": E, "D": D, **{name: more.pop(name, None) for name in PLAYERS[3:]}}
    players = {name: player for name, player in given.items() if player is not None}
    _require_players(players, objective, more.get("settings") or {})
    recipe = own_recipe(players, objective, more.pop("dim", None), more.pop("pixels", (0, 1)))
    return train(recipe, output, data=data, **more)


def _require_players(players: dict[str, Player], objective: str, settings: Any) -> None:
    """Raise AimganError unless the networks are those that the objective has."""
    if objective not in OBJECTIVES:
        raise near_miss("objective", objective, OBJECTIVES)
    wanted = [name for name in player_names(objective, settings) if name not in POOLS]
    for name, player in players.items():
        if name not in wanted:
            raise AimganError(f"{objective} has no network {name}; expected {', '.join(wanted)}: leave {name} out")
        if not isinstance(player, nn.Module) and not callable(player):
            raise AimganError(f"{name} is a {type(player).__name__}; expected a torch.nn.Module, or a function for one")
    missing = [name for name in wanted if name not in players]
    if missing:
        raise AimganError(f"{objective} has the networks {', '.join(wanted)}: {', '.join(missing)} must be given, too")
