"""What a step changes besides parameters: batch norm's running statistics, and the averages that an engine may keep."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

import pytest
import torch
from contract_players import FAMILIES, assert_equal, data, engine, every_case, every_objective, make, parameters
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from aimgan.model import ModelConfig
from aimgan.objectives import OBJECTIVES
from aimgan.recipes.assemble import model_of
from aimgan.training.engine import players

PASSES = {  # forward passes of each player in a step: real and generated images pass D apart, nothing passes twice
    "aim": {"G": 1, "D": 2, "E": 1},
    "aim-minus": {"G": 1, "D": 2, "E": 1},
    "gan": {"G": 1, "D": 2},
}


def batch_norms(objective: Any) -> dict[str, _BatchNorm]:
    return {
        f"{player}.{key}": module
        for player, network in players(objective).items()
        for key, module in network.named_modules()
        if isinstance(module, _BatchNorm)
    }


def statistics(inputs: list[Tensor], momentum: float) -> tuple[Tensor, Tensor]:
    """Running statistics after these inputs, one after the other, by their definition."""
    mean, variance = torch.zeros(inputs[0].shape[1]).double(), torch.ones(inputs[0].shape[1]).double()
    for x in inputs:
        rows = x.transpose(0, 1).flatten(1)
        mean = (1 - momentum) * mean + momentum * rows.mean(dim=1)
        variance = (1 - momentum) * variance + momentum * rows.var(dim=1, correction=1)
    return mean, variance


@every_case
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_each_forward_pass_on_training_data_changes_the_running_statistics_once(
    name: str, options: dict[str, Any], ema: float
) -> None:
    objective = make(name, "batch norm", **options)
    trainer = engine(objective, ema=ema)
    layers = batch_norms(objective)
    inputs: dict[str, list[Tensor]] = {key: [] for key in layers}
    for key, layer in layers.items():
        layer.register_forward_pre_hook(lambda _, args, key=key: inputs[key].append(args[0].detach().clone()))
    for step in range(2):
        trainer.step(data("batch norm", step), step, 0.001)
    for key, layer in layers.items():
        assert layer.num_batches_tracked == len(inputs[key])
        for part in filter(key.startswith, PASSES.get(name, {})):
            assert len(inputs[key]) == 2 * PASSES[name][part]
        mean, variance = statistics(inputs[key], layer.momentum or 0)
        torch.testing.assert_close(layer.running_mean, mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(layer.running_var, variance, rtol=1e-12, atol=1e-12)


@every_objective
def test_real_images_pass_the_discriminator_before_generated_ones(name: str) -> None:
    objective, seen = make(name, "batch norm"), []
    if not hasattr(objective, "D"):
        pytest.skip("has no D")
    objective.D.features.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    x = data("batch norm")
    engine(objective).step(x, 0, 0.001)
    assert [torch.equal(image, x) for image in seen[:2]] == [True, False]


@every_objective
def test_averages_follow_the_weights_and_copy_the_buffers(name: str) -> None:
    objective = make(name, "batch norm")
    trainer = engine(objective, ema=0.75)
    assert trainer.inference_networks is not trainer.networks
    mean: dict[str, Tensor] = {}
    for step in range(6):
        trainer.step(data("batch norm", step), step, 0.01)
        share = max(0.25, 1 / (step + 1))  # a plain mean of the weights at first
        mean = {k: (1 - share) * mean.get(k, 0 * v) + share * v for k, v in parameters(objective).items()}
    for player, network in trainer.inference_networks.items():
        expected = {key: value for key, value in mean.items() if key.startswith(f"{player}.")}
        assert_equal({f"{player}.{key}": p.detach() for key, p in network.named_parameters()}, expected, 1e-13)
        assert_equal(dict(network.named_buffers()), dict(trainer.networks[player].named_buffers()))


def config_of(name: str) -> ModelConfig:
    objective, arguments = cast(Any, OBJECTIVES[name]), asdict(cast(Any, FAMILIES["batch norm"]))
    return ModelConfig("table4", arguments, name, objective.posterior, objective.reads_features)


@every_objective
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_model_of_the_engine_leaves_the_training_networks_alone(name: str, ema: float) -> None:
    objective = make(name, "batch norm")
    trainer = engine(objective, ema=ema)
    trainer.step(data("batch norm"), 0, 0.01)
    before = {key: value.clone() for key, value in trainer.state().items()}
    model = model_of(trainer, config_of(name))
    model.reestimate_batch_norm(batches=2, batch_size=4)
    model.generate(3)
    if model.E is not None:
        model.reconstruct(torch.rand(3, 3, 8, 8, dtype=torch.float64))
    assert_equal(trainer.state(), before)
    assert all(module.training for network in players(objective).values() for module in network.modules())
    assert not any(module.training for module in model.modules())
