"""The step as one compiled program: the numbers of the eager step, for every objective, and a run that goes on exactly.

Compiling takes half a minute, so most tests run the recorded step without compiling it.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from io import StringIO
from unittest.mock import MagicMock

import pytest
import torch
import torch._inductor
from accelerate import Accelerator
from rich.console import Console
from short_ends import only_the_model
from torch import Tensor

import aimgan
from aimgan import noise
from aimgan.errors import AimganError
from aimgan.networks import MLP, Table4
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine

IMAGES = Table4(shape=(3, 8, 8), dim=4, width=16)  # batch norm, whose statistics move too
POINTS = MLP(width=8, depth=1, generator_depth=1)


def engine(recipe: str = "grid/aim", ema: float = 0.9, **options: object) -> Engine:
    found = RECIPES[recipe]
    networks = IMAGES if recipe.startswith("folder") else POINTS
    found = replace(found, networks=networks, options={**found.options, **options})
    return Engine(assemble(found, 0), Adam(), Accelerator(cpu=True), 3, ema)


def compiled_engine(*arguments: object, **options: object) -> Engine:
    made = engine(*arguments, **options)  # type: ignore[arg-type]
    made.compile(batch(made, 0))
    return made


def batch(of: Engine, step: int, n: int = 6) -> Tensor:
    shape = (3, 8, 8) if any(weight.dim() == 4 for weight in of.objective.G.parameters()) else (2,)
    return noise.normal(n, *shape, generator=noise.generator("x", step)).tanh()


def train(trained: Engine, steps: range, n: int = 6) -> list[dict[str, Tensor]]:
    return [trained.step(batch(trained, step, n), step, 1e-2 / (step + 1)) for step in steps]


def assert_near(a: Engine, b: Engine, tolerance: float) -> None:
    expected = b.state()
    for name, value in a.state().items():
        torch.testing.assert_close(value, expected[name], rtol=tolerance, atol=tolerance, msg=name)


@pytest.fixture
def only_recorded(monkeypatch):
    """The recorded step as it is."""
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, *_: graph)


@pytest.mark.usefixtures("only_recorded")
@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("grid/aim", {}), ("grid/veegan", {}), ("folder/aim", {}), ("folder/aim", {"weighting": "generator"}),
        ("folder/gan", {}), ("folder/vae", {}), ("folder/alice", {"cycle": "adversarial"}), ("folder/avb", {}),
        ("folder/unrolled-gan", {"unrolling": 2}), ("folder/ian", {}), ("folder/aim", {"penalty": 1.0}),
    ],
)  # fmt: skip
def test_the_recorded_step_is_the_eager_one(recipe, options):
    """Losses, weights, buffers, moments and averages, with another learning rate and other draws in each step."""
    eager, recorded = engine(recipe, **options), compiled_engine(recipe, **options)
    logs = [train(one, range(4)) for one in (eager, recorded)]
    for a, b in zip(*logs, strict=True):
        assert a.keys() == b.keys()
        for term, value in a.items():
            torch.testing.assert_close(value, b[term], rtol=1e-4, atol=1e-4, msg=term)
    assert_near(recorded, eager, 1e-4)


@pytest.mark.usefixtures("only_recorded")
@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_goes_on_with_the_same_bits(stop):
    whole, begun, resumed = compiled_engine(), compiled_engine(), compiled_engine()
    train(whole, range(6))
    train(begun, range(stop))
    resumed.load_state({name: value.clone() for name, value in begun.state().items()})
    train(resumed, range(stop, 6))
    assert_near(resumed, whole, 0.0)


@pytest.mark.usefixtures("only_recorded")
def test_a_batch_of_another_size_runs_eagerly():
    eager, recorded = engine(), compiled_engine()
    for one in (eager, recorded):
        train(one, range(2))
        train(one, range(2, 3), n=4)
        train(one, range(3, 4))
    assert_near(recorded, eager, 1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, in its own compiler
def test_a_compiled_step_is_the_eager_one():
    """With torch's compiler, and the averages' share and learning rate of each step."""
    if not any(shutil.which(name) for name in ("g++", "clang++")):
        pytest.skip("no C++ compiler")
    eager, fast = engine(), compiled_engine()
    for one in (eager, fast):
        train(one, range(5))
    assert_near(fast, eager, 1e-4)


def test_without_a_compiler_a_run_says_so_in_one_line_and_trains(monkeypatch, tmp_path):
    """With the weights of a run that was not to be compiled."""

    def failing(*_: object) -> None:
        raise RuntimeError("no compiler\nmore lines")

    monkeypatch.setattr(torch._inductor, "compile", failing)
    monkeypatch.setattr("aimgan.runs.train.finish", only_the_model)
    console = Console(file=StringIO(), width=200)
    short = {"steps": 3, "console": console}
    compiled = aimgan.train("grid/aim", tmp_path / "a", settings={"compile": True}, **short)
    plain = aimgan.train("grid/aim", tmp_path / "b", **short)
    said = console.file.getvalue()
    assert said.count("warning: the step cannot be compiled (RuntimeError: no compiler): it runs uncompiled") == 1
    for a, b in zip(compiled.G.parameters(), plain.G.parameters(), strict=True):
        assert torch.equal(a, b)


def test_several_processes_are_refused():
    made = engine()
    made.accelerator = MagicMock(num_processes=2)
    with pytest.raises(AimganError, match="compile is true, and there are several processes"):
        made.compile(batch(made, 0))
