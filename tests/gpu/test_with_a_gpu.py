"""What only a card can prove. Where there is one: pytest -o addopts= -W default tests/gpu/test_with_a_gpu.py

AIMGAN_TEST_DEVICE=cpu runs the same tests on a CPU, which proves no more than that they run.
"""

from __future__ import annotations

import gc
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from contract_players import CASES, OF_PAIRS, of_cases
from short_ends import score_few
from torch import Tensor

import aimgan
from aimgan import noise
from aimgan.devices import on_device
from aimgan.networks import Table4
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble, config_of, model_of
from aimgan.recipes.recipe import Recipe
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine, players
from aimgan.training.graph import WARM_UP
from aimgan.training.precision import PRECISIONS, deterministic, float32_products, mixed
from aimgan.training.processes import accelerator_for

NAME = os.environ.get("AIMGAN_TEST_DEVICE", "cuda")
DEVICE = torch.device(NAME)
pytestmark = pytest.mark.skipif(NAME == "cuda" and not torch.cuda.is_available(), reason="there is no GPU")
SMALL = Table4(shape=(3, 16, 16), dim=8, width=32)
STEPS, BATCH = WARM_UP + 5, 24


def recipe(name: str = "aim", options: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    made = replace(RECIPES[f"folder/{name}"], networks=SMALL, channels_last=True, ema=0.9, **changes)
    return replace(made, options={**made.options, **(options or {})})


def engine(of: Recipe, graph: bool = True) -> Engine:
    accelerator = accelerator_for(NAME, mixed(of.precision))
    made = Engine(assemble(of, 3, DEVICE), Adam(), accelerator, 3, of.ema, of.channels_last)
    if graph:
        made.use_graph()
    return made


def batch(step: int) -> Tensor:
    return on_device(noise.normal(BATCH, 3, 16, 16, generator=noise.generator("x", step)).tanh(), DEVICE)


def train(trained: Engine, steps: range = range(STEPS)) -> None:
    for step in steps:
        trained.step(batch(step), step, 1e-3 / (step + 1))


def assert_same(a: Engine, b: Engine) -> None:
    expected = b.state()
    assert [name for name, value in a.state().items() if not torch.equal(value, expected[name])] == []


@pytest.mark.parametrize("precision", ["no", "bf16"])
@of_cases(CASES + OF_PAIRS)
def test_every_objective_is_recorded_and_replays_the_eager_step(name, options, precision):
    of = recipe(name, options, precision=precision)
    with float32_products(precision, DEVICE), deterministic(True, DEVICE):
        eager, graph = engine(of, graph=False), engine(of)
        train(eager)
        train(graph)
    assert graph._static.eager_reason is None
    assert graph._static._replay is not None
    assert all(bool(value.isfinite().all()) for value in graph.state().values())
    assert_same(graph, eager)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_losses_are_those_of_the_cpu_in_float64(precision):
    of = recipe(precision=precision)
    z = noise.normal(BATCH, 8, generator=noise.generator("z"))
    exact = assemble(of, 3)
    for network in (*players(exact).values(), exact.prior):
        network.double()
    with noise.instead(noise.Replay([z.double()])):
        expected = [update.loss.item() for update in next(exact.step(batch(0).cpu().double()))]
    card = engine(of, graph=False)
    card._stream = lambda step: noise.Replay([z.to(DEVICE)])  # the draws of the CPU
    with float32_products(precision, DEVICE):
        log = card.step(batch(0), 0, 1e-3)
    got = [float(log[name]) for name in ("loss/D", "loss/G+E")]
    assert got == pytest.approx(expected, rel={"no": 1e-5, "tf32": 1e-2, "bf16": 5e-2}[precision])


def test_an_evaluation_between_replays_and_a_second_graph_change_nothing():
    of = recipe()
    with deterministic(True, DEVICE):
        alone, disturbed, other = engine(of), engine(of), engine(recipe("gan"))
        train(alone)
        for step in range(STEPS):
            train(disturbed, range(step, step + 1))
            train(other, range(step, step + 1))
            model = model_of(disturbed, config_of(of, {}))
            model.reestimate_batch_norm(0, batches=2)
            assert model.generate(8, noise.generator(0)).isfinite().all()
    assert_same(disturbed, alone)


@pytest.mark.skipif(NAME == "cpu", reason="a CPU's memory is not counted")
def test_memory_is_returned_with_the_engine():
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    made = engine(recipe())
    train(made)
    assert torch.cuda.memory_reserved() > before
    del made
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before + 2**22  # cuBLAS keeps a workspace


def test_a_run_that_was_stopped_ends_with_the_bytes_of_one_that_was_not():
    of = recipe()
    with deterministic(True, DEVICE):
        whole, begun, resumed = engine(of), engine(of), engine(of)
        train(whole)
        train(begun, range(4))
        resumed.load_state({name: value.cpu() for name, value in begun.state().items()})
        train(resumed, range(4, STEPS))
    assert_same(resumed, whole)


def test_a_run_is_trained_scored_and_recorded_on_the_device(tmp_path: Path, monkeypatch):
    score_few(3_000, 500, 1_000, monkeypatch.setattr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {"deterministic": True, "refit": 0.5, "samples": 1_000}
        aimgan.train("digits/aim", tmp_path, steps=20, device=NAME, settings=settings)
    assert json.loads((tmp_path / "run.json").read_text())["environment"]["device"] == NAME
    assert json.loads((tmp_path / "evaluation.json").read_text())["reconstruction_mse"] > 0
