"""From a recipe to players, and from trained players to a model."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.model import LatentVariableModel, ModelConfig
from aimgan.networks import Networks, OwnNetworks, generator_for, prior_for
from aimgan.networks.batch_norm import batch_norms
from aimgan.networks.pool import Pool
from aimgan.networks.sizes import require_sizes
from aimgan.objectives import OBJECTIVES, Objective
from aimgan.recipes.own import require_fit
from aimgan.recipes.recipe import Recipe, network_names, to_dict
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine, players

POOLS = ("P_x", "P_z")  # of images of G, and of codes of E


def fit_networks(recipe: Recipe, shape: tuple[int, ...], second: Tensor | None = None) -> Recipe:
    """Return the recipe with networks for samples of this shape, and for the samples of a second data set, if any.

    Raises AimganError where the family cannot.
    """
    networks: Any = recipe.networks
    require_sizes(networks)
    if (second is not None) != hasattr(networks, "between"):
        found = "two data sets" if second is not None else "one data set"
        raise AimganError(
            f"{recipe.name} has {found}, and its networks are {type(networks).__name__}; expected a translator for two "
            "data sets, and other networks for one"
        )
    if second is not None:
        return replace(recipe, networks=networks.between(tuple(shape), second))
    return replace(recipe, networks=replace(networks, shape=tuple(shape)))


def player_names(objective: str, options: Mapping[str, Any]) -> list[str]:
    """Return the names of the networks that an objective has with these options.

    A network in `only_with` of the objective is there only if the option that it names has the value that it names.
    """
    cls: Any = OBJECTIVES[objective]
    values = {f.name: f.default for f in fields(cls)} | dict(options)
    names = network_names(objective)
    for name, (option, value) in getattr(cls, "only_with", {}).items():
        if values[option] != value:
            names.remove(name)
    return names


def make_player(name: str, family: Networks, objective: Any) -> nn.Module:
    """Make one player with fresh weights from torch's generator."""
    if name == "E":
        return family.E(objective.reads_features, objective.posterior)
    if name == "D" and (outputs := getattr(objective, "D_outputs", 1)) > 1:
        return family.D(outputs)
    if name == "G":
        return generator_for(objective.posterior, family.G())
    if name in POOLS:
        return Pool(family.shape if name == "P_x" else (family.dim,))
    if name == "D_m" and not isinstance(family, OwnNetworks):
        return family.D()
    return getattr(family, name)()


def assemble(recipe: Recipe, seed: int, device: torch.device | str = "cpu") -> Objective:
    """Make the objective's players with weights drawn from (seed, player), equal for every objective that has them."""
    objective: Any = OBJECTIVES[recipe.objective]
    family: Networks = recipe.networks
    made: dict[str, nn.Module] = {"prior": prior_for(family)}
    for name in player_names(recipe.objective, recipe.options):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(noise.mix(seed, "weights", name) >> 1)
            made[name] = make_player(name, family, objective)
    if isinstance(family, OwnNetworks):
        require_fit({name: made[name] for name in made if name != "prior"}, family, objective)
    return objective(**{name: network.to(device) for name, network in made.items()}, **recipe.options)


def engine_of(recipe: Recipe, objective: Objective, accelerator: Accelerator, seed: int) -> Engine:
    """Return the engine that trains a recipe's players; on one GPU a step is one CUDA graph."""
    rule = Adam(recipe.beta1, recipe.beta2)
    engine = Engine(objective, rule, accelerator, seed, recipe.ema, recipe.channels_last)
    if accelerator.device.type == "cuda" and accelerator.num_processes == 1:
        engine.use_graph()
    return engine


def synchronise_batch_norm(objective: Objective, accelerator: Accelerator) -> list[str]:
    """Take batch-norm statistics over the whole batch where GPUs share it, and return warnings where that cannot be.

    Parameters, buffers and their names stay. Call it before the engine is made, which keeps the networks that it is
    given. torch's synchronised layer has no kernel for CPUs.
    """
    networks = players(objective).values()
    if accelerator.num_processes == 1 or not any(batch_norms(network) for network in networks):
        return []
    if accelerator.device.type == "cpu":
        share = f"1/{accelerator.num_processes} of the batch"
        return [f"on a CPU each process normalises by its own {share}: the result depends on the number of processes"]
    for network in networks:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return []


def config_of(recipe: Recipe, about: dict[str, Any]) -> ModelConfig:
    """Describe the model that training this recipe leaves."""
    objective: Any = OBJECTIVES[recipe.objective]
    arguments = to_dict(recipe)["networks"]
    return ModelConfig(
        networks=arguments.pop("kind"),
        arguments=arguments,
        objective=recipe.objective,
        posterior=objective.posterior,
        reads_features=objective.reads_features,
        about=about,
        players=getattr(recipe.networks, "players", {}),
        **normalised_by(objective),
    )


def normalised_by(objective: Any) -> dict[str, Any]:
    """Return on which samples an objective normalises its networks in training, as a ModelConfig takes it."""
    return {name: getattr(objective, name) for name in ("G_sees", "E_sees") if hasattr(objective, name)}


def model_of(engine: Engine, config: ModelConfig) -> LatentVariableModel:
    """Return a model with copies of the engine's networks (their averages, if it keeps any)."""
    made: dict[str, Any] = {name: deepcopy(network) for name, network in engine.inference_networks.items()}
    E = made.get("E")
    if E is not None and config.reads_features:
        E = nn.Sequential(made["D"].features, E)
    model = LatentVariableModel(made["G"], E, deepcopy(engine.objective.prior), config)  # type: ignore[attr-defined]
    if any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
        model = _without_sync(model)
    return model


def _without_sync(model: LatentVariableModel) -> LatentVariableModel:
    """Return the model with batch norm of one process, since only the first one evaluates and saves."""
    with torch.random.fork_rng(devices=[]):
        plain = LatentVariableModel.build(model.config).to(model.prior.origin)
    plain.load_state_dict(model.state_dict())
    return plain
