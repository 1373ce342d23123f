"""The path that a GPU records as one graph, without a GPU: the same bits as the eager step, whatever happens to it."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from unittest.mock import MagicMock

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from aimgan import noise
from aimgan.networks import StandardNormal, Table4
from aimgan.objectives.base import Update
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.training import graph
from aimgan.training.adam import Adam, as_tensor, step_sizes
from aimgan.training.engine import Engine
from aimgan.training.graph import WARM_UP, EagerWarning, StaticStep

NETWORKS = Table4(shape=(3, 8, 8), dim=4, width=16)  # batch norm, whose statistics move too
CASES = [
    ("aim", {}), ("aim", {"weighting": "generator"}), ("gan", {}), ("vae", {}), ("alice", {"cycle": "adversarial"}),
    ("unrolled-gan", {"unrolling": 2}), ("mdgan", {"variant": "manifold-diffusion"}), ("avb", {}),
    ("cyclegan", {}), ("dualgan", {}),
]  # fmt: skip
every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=lambda value: str(value))


def engine(name: str = "aim", options: dict | None = None, ema: float = 0.9, graph: bool = False) -> Engine:
    recipe = replace(RECIPES[f"folder/{name}"], networks=NETWORKS)
    recipe = replace(recipe, options={**recipe.options, **(options or {})})
    made = Engine(assemble(recipe, 0), Adam(), Accelerator(cpu=True), 3, ema)
    if graph:
        made.use_graph()
    return made


def batch(step: int, n: int = 6) -> Tensor:
    return noise.normal(n, 3, 8, 8, generator=noise.generator("x", step)).tanh()


def train(trained: Engine, steps: range) -> list[dict[str, Tensor]]:
    return [trained.step(batch(step), step, 1e-2 / (step + 1)) for step in steps]


def assert_same(a: Engine, b: Engine) -> None:
    expected = b.state()
    assert all(torch.equal(value, expected[name]) for name, value in a.state().items())


# --- the same bits --------------------------------------------------------------------------------------------------


@every_case
def test_it_is_the_eager_step_bit_for_bit(name, options):
    """Losses, weights, buffers, moments and averages, with another learning rate in each step."""
    eager, static = engine(name, options), engine(name, options, graph=True)
    logs = [train(one, range(WARM_UP + 4)) for one in (eager, static)]
    for a, b in zip(*logs, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(value, b[term]) for term, value in a.items())
    assert_same(static, eager)


@pytest.mark.parametrize("stop", [1, WARM_UP, WARM_UP + 2])
def test_a_run_goes_on_in_either_path(stop):
    """The averages' share and the draws are the step's, not those of the step in which a graph was recorded."""
    whole = engine()
    train(whole, range(10))
    for first, second in ((True, True), (True, False), (False, True)):
        begun, resumed = engine(graph=first), engine(graph=second)
        train(begun, range(stop))
        resumed.load_state({name: value.clone() for name, value in begun.state().items()})
        train(resumed, range(stop, 10))
        assert_same(resumed, whole)


def test_a_state_loaded_into_a_recorded_step_is_what_it_goes_on_from():
    whole, static = engine(), engine(graph=True)
    train(static, range(WARM_UP + 2))
    train(whole, range(2))
    static.load_state(whole.state())
    train(static, range(2, 6))
    train(whole, range(2, 6))
    assert_same(static, whole)


def test_what_a_step_returns_is_not_overwritten_by_the_next():
    static = engine(graph=True)
    logs = train(static, range(WARM_UP + 3))
    assert len({float(log["loss/D"]) for log in logs}) == len(logs)


def test_a_batch_of_another_size_is_trained_on_as_well():
    eager, static = engine(), engine(graph=True)
    for step in range(WARM_UP + 5):
        for one in (eager, static):
            one.step(batch(step, 5 if step in (1, WARM_UP + 2) else 6), step, 1e-3)
    assert_same(static, eager)


def test_an_engine_is_freed_at_once_and_with_it_the_memory_of_its_graph():
    made = engine(graph=True)
    train(made, range(WARM_UP + 2))
    gone = weakref.ref(made)
    gc.disable()
    try:
        del made
        assert gone() is None
    finally:
        gc.enable()


# --- what is recorded -----------------------------------------------------------------------------------------------


@dataclass
class Recording(graph.Capture):
    """A graph's stand-in that counts. Like a graph, it repeats the body that it was given and no other."""

    recorded: int = 0
    replayed: int = 0
    error: Exception | None = None

    def record(self, body: Callable[[], graph.Log]) -> Callable[[], graph.Log]:
        if self.error:
            raise self.error
        self.recorded += 1

        def replay() -> graph.Log:
            self.replayed += 1
            return body()

        return replay


def static_engine(capture: Recording, **given) -> Engine:
    made = engine(**given)
    made._static = StaticStep(made._run_step, made._stream, made._ema_rate, torch.device("cpu"), capture)
    return made


def test_it_is_recorded_once_after_the_warm_up_and_every_step_is_taken_once():
    capture = Recording()
    train(static_engine(capture), range(WARM_UP + 5))
    assert (capture.recorded, capture.replayed) == (1, 5)


def test_nothing_is_seeded_or_drawn_inside(monkeypatch):
    """A graph would repeat the numbers that it saw."""
    capture = Recording()
    static = static_engine(capture)
    train(static, range(WARM_UP + 1))
    static._static._fill(batch(9), 9, 1e-3)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: pytest.fail("drew"))
    monkeypatch.setattr(noise, "of_step", lambda *_: pytest.fail("seeded"))
    static._static._replay()


@pytest.mark.parametrize("error", [RuntimeError("operation not permitted\nwhen capturing"), KeyError(0.5)])
def test_a_step_that_cannot_be_recorded_runs_eagerly_and_says_why_once(error, recwarn):
    eager, static = engine(), static_engine(Recording(error=error))
    train(eager, range(WARM_UP + 3))
    with pytest.warns(EagerWarning, match=rf"runs eagerly, not as one CUDA graph: {type(error).__name__}: ") as caught:
        train(static, range(WARM_UP + 3))
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert_same(static, eager)


def test_a_capture_asks_torch_for_what_its_documentation_says(monkeypatch):
    cuda = MagicMock()
    cuda.body.return_value = {"loss": torch.ones(())}
    monkeypatch.setattr(torch, "cuda", cuda)
    capture = graph.CudaCapture()
    with capture.warm_up():
        cuda.step()
    side_waits, main_waits = "Stream().wait_stream", "current_stream().wait_stream"
    on_side = ["stream", "stream().__enter__", "step", "stream().__exit__"]
    assert names(cuda) == ["Stream", "current_stream", side_waits, *on_side, main_waits]
    cuda.stream.assert_called_once_with(cuda.Stream.return_value)

    cuda.reset_mock()
    replay = capture.record(cuda.body)
    assert names(cuda) == ["CUDAGraph", "current_stream", "stream", "stream().__enter__", "graph", "graph().__enter__",
                           "body", "graph().__exit__", "stream().__exit__"]  # fmt: skip
    cuda.graph.assert_called_once_with(cuda.CUDAGraph.return_value, stream=cuda.Stream.return_value)
    assert replay() is replay() is cuda.body.return_value
    assert names(cuda)[-2:] == ["CUDAGraph().replay"] * 2

    cuda.reset_mock()
    cuda.graph.return_value.__exit__.side_effect = RuntimeError("operation not permitted")
    cuda.stream.return_value.__exit__.return_value = False
    with pytest.raises(RuntimeError, match="operation not permitted"):
        capture.record(cuda.body)
    assert names(cuda)[-1] == "stream().__exit__"  # the main stream is the current one again


def names(mock: MagicMock) -> list[str]:
    return [name for name, _, _ in mock.mock_calls]


@dataclass(eq=False)
class Fickle:
    """Draws as many codes as its last loss says: its step has no fixed shape."""

    G: nn.Module
    prior: StandardNormal
    n: int = 1

    reads_features = False
    posterior = None

    def step(self, x: Tensor):
        loss = self.G(self.prior.sample(self.n)).square().mean()
        self.n += 1
        yield Update(self.G, loss)


def test_a_step_whose_draws_change_runs_eagerly():
    def made(graph: bool) -> Engine:
        torch.manual_seed(0)
        engine = Engine(Fickle(nn.Linear(2, 2), StandardNormal(2)), Adam(), Accelerator(cpu=True))
        if graph:
            engine.use_graph()
        return engine

    eager, static = made(False), made(True)
    train(eager, range(6))
    with pytest.warns(EagerWarning, match="its steps ask for different draws"):
        train(static, range(6))
    assert_same(static, eager)


# --- numbers as tensors ---------------------------------------------------------------------------------------------


def test_numbers_are_exact_on_a_cpu_and_float32_where_adams_kernel_reads_that():
    cpu, other = torch.device("cpu"), torch.device("meta")
    lr = math.pi / 1000
    assert step_sizes(lr, 0.1, cpu).rate(0.1) == lr * 0.1
    assert float(as_tensor(lr, cpu)) == lr
    given = step_sizes(lr, 0.1, other)
    assert {given.rate(1.0).dtype, given.share.dtype} == {torch.float32}
    assert {given.rate(1.0).device.type, given.share.device.type} == {"meta"}
