"""A recipe for networks of a caller's own, and the check that they fit together, before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from aimgan.checked import positive
from aimgan.data import Images, InMemory
from aimgan.errors import AimganError, first_line
from aimgan.networks import POINT, ImplicitPosterior, OwnNetworks, Posterior
from aimgan.networks.own import Player, own_networks
from aimgan.networks.posterior import LOG_VARIANCES
from aimgan.recipes.images import DIGITS, options_of
from aimgan.recipes.mixtures import GRID
from aimgan.recipes.recipe import Recipe

MOST_DIM = 1_024  # numbers of a code that are tried
TRIED = 2  # samples


def own_recipe(players: Mapping[str, Player], objective: str, dim: int | None, pixels: tuple[int, int]) -> Recipe:
    """Return the recipe of own networks: the length and the rates of digits/*, or for points those of grid/*.

    The shape of the data is that of G's samples, and `dim` is by default the first number of inputs that G takes.
    """
    with torch.random.fork_rng(devices=[]):  # functions draw weights, which must not move the caller's generator
        family = own_networks(players, pixels=pixels)
        G = family.G().eval()
    dim = _dim(G) if dim is None else positive("dim", dim)
    shape = tuple(_answer("G", G, torch.zeros(TRIED, dim)).shape[1:])
    family = replace(family, dim=dim, shape=shape, pixels=pixels if len(shape) == 3 else None)
    name = f"own/{objective}"
    if len(shape) == 1:
        return replace(GRID, name=name, data=InMemory(), networks=family, objective=objective, options={})
    if len(shape) != 3 or shape[1] != shape[2]:
        raise AimganError(f"G makes samples of {shape}; expected images (c, side, side), or points (d,)")
    data = Images(size=shape[1], channels=shape[0])
    return replace(
        DIGITS, name=name, data=data, networks=family, objective=objective, options=options_of(objective), features=None
    )


def _dim(G: nn.Module) -> int:
    for dim in range(1, MOST_DIM + 1):
        try:
            with torch.no_grad():
                G(torch.zeros(TRIED, dim))
        except Exception:
            continue
        return dim
    raise AimganError(f"G takes no codes of 1 to {MOST_DIM:,} numbers: pass dim=, and check G on torch.zeros(2, dim)")


def require_fit(players: Mapping[str, nn.Module], family: OwnNetworks, objective: Any) -> None:
    """Raise AimganError unless the networks take and give what the objective asks of them. Their state is kept."""
    x, z = torch.zeros(TRIED, *family.shape), torch.zeros(TRIED, family.dim)
    training = [module for player in players.values() for module in player.modules() if module.training]
    for player in players.values():
        player.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            _require_shape("G", _answer("G", players["G"], z), (TRIED, *family.shape))
            inputs = {"D": (x,), "D_m": (x,), "D_z": (z,), "D_xz": (x, z), "D_xx": (x, x)}
            for name in inputs.keys() & players.keys():
                outputs = getattr(objective, "D_outputs", 1) if name == "D" else 1
                expected = (TRIED,) if outputs == 1 else (TRIED, outputs)
                _require_shape(name, _answer(name, players[name], *inputs[name]), expected)
            if "E" in players:
                _require_encoder(players, x, family.dim, objective)
    finally:
        for module in training:
            module.training = True


def _require_encoder(players: Mapping[str, nn.Module], x: Tensor, dim: int, objective: Any) -> None:
    if objective.reads_features:
        D: Any = players["D"]
        if not (hasattr(D, "features") and hasattr(D, "head")):
            raise AimganError(
                "E reads D's features, and D has no `features` and `head`: D = aimgan.networks.Discriminator(features, "
                "head), where D(x) is head(features(x)) and E gets features(x)"
            )
        x = _answer("D.features", D.features, x)
    q = _answer("E", players["E"], x)
    if not isinstance(q, Posterior | ImplicitPosterior):
        raise AimganError(
            f"E returns a {type(q).__name__}; expected aimgan.networks.Posterior(mean, log_variance): end E in "
            "GaussianHead(mean, log_variance)"
        )
    _require_shape("E", q.mean, (TRIED, dim))
    _require_shape("E's log variance", q.log_variance, (TRIED, dim))
    fixed = LOG_VARIANCES.get(objective.posterior)
    if fixed is not None and not bool(q.log_variance.eq(fixed).all()):
        value = "aimgan.networks.POINT" if fixed == POINT else fixed
        raise AimganError(
            f"E has a variance of its own, which this objective fixes: end E in GaussianHead(mean, {value})"
        )


def _answer(name: str, network: nn.Module, *inputs: Tensor) -> Any:
    """Return what a network gives. Raises AimganError where it cannot take the inputs."""
    try:
        with torch.no_grad():
            return network(*inputs)
    except Exception as reason:  # of the caller's own code
        shapes = " and ".join(str(tuple(given.shape)) for given in inputs)
        raise AimganError(f"{name} cannot take {shapes} ({type(reason).__name__}: {first_line(reason)})") from reason


def _require_shape(name: str, got: Any, expected: tuple[int, ...]) -> None:
    if not isinstance(got, Tensor) or tuple(got.shape) != expected:
        shown = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
        raise AimganError(f"{name} gives {shown}; expected {expected}")
