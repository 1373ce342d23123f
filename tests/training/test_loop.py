from __future__ import annotations

import math
import os
import signal
import threading
import time
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from aimgan.data import Grid
from aimgan.errors import Interrupted
from aimgan.networks import MLP
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.training import checkpoint
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import SCHEDULES, Loop, NonFiniteLoss, learning_rate
from aimgan.training.run_dir import RunDir

STEPS = 23


def make(folder, recipe: str = "grid/aim", **given) -> Loop:
    small = replace(RECIPES[recipe], networks=MLP(width=8))
    engine = Engine(assemble(small, 0), Adam(), Accelerator(cpu=True), ema=0.9)
    run = RunDir(folder)
    run.begin({"steps": STEPS})
    data = Grid().load()
    arguments = {"steps": STEPS, "log_every": 5, "checkpoint_seconds": 1e9, **given}
    return Loop(engine, lambda step: data.batch(0, step, 16), lambda step: 1e-2 / (step + 1), run=run, **arguments)


def without_speed(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "steps_per_second"} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[dict, list[dict]]:
    """State and rows of a run that nothing stopped."""
    loop = make(tmp_path_factory.mktemp("whole"))
    loop.train()
    return loop.engine.state(), loop.run.rows()


# --- the log ------------------------------------------------------------------------------------------------------


def test_rows_average_the_steps_since_the_last_row(tmp_path, whole):
    every = make(tmp_path, log_every=1)
    every.train()
    single = every.run.rows()
    rows = whole[1]
    assert [row["step"] for row in rows] == [5, 10, 15, 20, 23]
    assert rows[0].keys() == {"step", "lr", "loss/D", "D/real", "D/fake", "loss/G+E", "G+E/adversarial", "G+E/nll",
                              "steps_per_second"}  # fmt: skip
    before = 0
    for row in rows:
        part = single[before : row["step"]]
        for name in row.keys() - {"step", "lr", "steps_per_second"}:
            assert row[name] == pytest.approx(sum(one[name] for one in part) / len(part), rel=1e-5, abs=1e-6)
        assert row["lr"] == 1e-2 / row["step"]  # the rate of the row's last step
        assert row["steps_per_second"] > 0
        before = row["step"]


def test_the_speed_is_of_training_alone_and_since_the_last_row(tmp_path, monkeypatch):
    """A step takes a second here, an evaluation a hundred, a checkpoint ten thousand; from step 15 on two seconds."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def spend(seconds: float):
        now[0] += seconds
        return {}

    monkeypatch.setattr(checkpoint, "save", lambda *_: spend(10_000))
    loop = make(tmp_path, evaluate=lambda step: spend(100), evaluate_every=4, checkpoint_seconds=3.5, batch_size=16)
    loop.batch = lambda step, inner=loop.batch: (spend(1 if step < 15 else 2), inner(step))[1]
    loop.train()
    rows = [row for row in loop.run.rows() if "lr" in row]
    assert [row["steps_per_second"] for row in rows] == [1.0, 1.0, 1.0, 0.5, 0.5]
    assert [row["images_per_second"] for row in rows] == [16.0, 16.0, 16.0, 8.0, 8.0]


def test_progress_hears_of_every_step_and_evaluation_has_its_own_rows(tmp_path):
    heard = []
    loop = make(
        tmp_path, steps=7, log_every=3, evaluate=lambda step: {"score": step / 10}, evaluate_every=2,
        progress=lambda step, row: heard.append((step, row is not None)),
    )  # fmt: skip
    loop.train()
    assert heard == [(step, step in (3, 6, 7)) for step in range(1, 8)]
    rows = loop.run.rows()
    assert [row["step"] for row in rows if "score" in row] == [2, 4, 6, 7]
    assert [row["step"] for row in rows if "lr" in row] == [3, 6, 7]


# --- stopping and going on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stops", [(1,), (7,), (10, 11), (3, 4, 20, 22)])
def test_a_stopped_run_goes_on_as_if_it_had_not(tmp_path, whole, signum, stops):
    before = signal.getsignal(signum)
    for stop in stops:
        loop = make(tmp_path, progress=lambda step, row, stop=stop: step == stop and os.kill(os.getpid(), signum))
        start = loop.resume()
        with pytest.raises(Interrupted, match=rf"stopped after step {stop} of {STEPS}"):
            loop.train(start)
        assert checkpoint.newest(loop.run.checkpoints).step == stop
        assert signal.getsignal(signum) is before
    loop = make(tmp_path)
    assert loop.resume() == stops[-1]
    loop.train(stops[-1])
    state, rows = whole
    assert all(torch.equal(value, state[name]) for name, value in loop.engine.state().items())
    assert without_speed(loop.run.rows()) == without_speed(rows)


@pytest.mark.parametrize("recipe", ["grid/gan", "grid/aim-minus", "grid/aim"])
def test_death_at_any_moment_leaves_the_last_checkpoint(tmp_path, recipe):
    """What is past the checkpoint, weights and rows, is done again."""
    loop = make(tmp_path / "whole", recipe)
    loop.train()

    def die(step: int, row: object) -> None:
        if step == 13:
            raise MemoryError

    dying = make(tmp_path / "dying", recipe, checkpoint_seconds=0, progress=die)
    with pytest.raises(MemoryError):
        dying.train()
    again = make(tmp_path / "dying", recipe)
    assert again.resume() == 12
    assert [row["step"] for row in again.run.rows()] == [5, 10]
    again.train(12)
    expected = loop.engine.state()
    assert all(torch.equal(value, expected[name]) for name, value in again.engine.state().items())
    assert without_speed(again.run.rows()) == without_speed(loop.run.rows())


def test_a_signal_in_the_last_step_is_too_late(tmp_path):
    loop = make(tmp_path, progress=lambda step, row: step == STEPS and os.kill(os.getpid(), signal.SIGTERM))
    loop.train()
    assert checkpoint.newest(loop.run.checkpoints).step == STEPS
    again = make(tmp_path)
    assert again.resume() == STEPS
    again.train(STEPS)
    assert len(again.run.rows()) == 5


def test_a_thread_trains_without_touching_signals(tmp_path):
    loop = make(tmp_path, steps=3)
    thread = threading.Thread(target=loop.train)
    thread.start()
    thread.join()
    assert checkpoint.newest(loop.run.checkpoints).step == 3


def test_checkpoints_are_written_by_the_clock_and_at_the_end(tmp_path, monkeypatch):
    saved = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda folder, step, *rest: (saved.append(step), save(folder, step, *rest)))
    make(tmp_path / "never").train()
    assert saved == [STEPS]
    saved.clear()
    make(tmp_path / "always", checkpoint_seconds=0).train()
    assert saved == list(range(1, STEPS + 1))


# --- numbers that are none ----------------------------------------------------------------------------------------


def spoilt(loop: Loop, at: int, name: str) -> Loop:
    """Make one loss of step `at` a NaN."""
    real = loop.engine.step

    def step(x, step, lr):
        log = real(x, step, lr)
        return log | {name: torch.tensor(math.nan)} if step + 1 == at else log

    loop.engine.step = step
    return loop


@pytest.mark.parametrize("seconds", [0, 1e9])
def test_a_loss_that_is_no_number_stops_the_run_by_name(tmp_path, seconds):
    loop = spoilt(make(tmp_path, checkpoint_seconds=seconds), 8, "G+E/nll")
    with pytest.raises(NonFiniteLoss, match=r"^AIM: G\+E/nll is nan at step 8 \(loss/D 1.*G\+E/nll nan\).*--set lr="):
        loop.train()
    found = checkpoint.newest(loop.run.checkpoints)
    assert (found.step if found else None) == (None if seconds else 7)
    assert all(row["step"] <= 5 for row in loop.run.rows())


def test_a_weight_that_is_no_number_is_not_saved(tmp_path):
    loop = make(tmp_path, checkpoint_seconds=0)

    def spoil(step: int, row: object) -> None:
        if step == 4:
            loop.engine.networks["G"][0].bias.data[0] = math.inf

    loop.progress = spoil
    with pytest.raises(NonFiniteLoss, match=r"^AIM: G\.0\.bias is not finite after step 4"):
        loop.train()
    assert checkpoint.newest(loop.run.checkpoints).step == 3


# --- schedules ----------------------------------------------------------------------------------------------------


def test_the_papers_rate_is_alpha_0_over_the_root_of_the_epoch_not_compounded():
    rate = learning_rate("inverse-sqrt-epoch", 2e-4, 1_000, epoch=10)
    assert [rate(step) for step in (0, 9)] == [2e-4, 2e-4]
    for t in (2, 3, 4, 100):
        assert rate(10 * (t - 1)) == rate(10 * t - 1) == pytest.approx(2e-4 / math.sqrt(t))


def test_linear_and_cosine_end_at_their_share():
    for schedule, middle in (("linear", 0.7), ("cosine", 0.7)):
        rate = learning_rate(schedule, 2.0, 100, 10, final=0.4)
        assert rate(0) == 2.0
        assert rate(50) == pytest.approx(2 * middle)
        assert rate(100) == pytest.approx(0.8)
    assert learning_rate("constant", 0.3, 100, 10)(99) == 0.3
    assert learning_rate("cosine", 1.0, 100, 10)(25) == pytest.approx(0.5 + 0.5 * math.cos(math.pi / 4))


@given(
    st.sampled_from(SCHEDULES), st.floats(1e-6, 1), st.integers(1, 500), st.integers(1, 50), st.floats(0, 1), st.data()
)
def test_no_schedule_grows_or_leaves_its_bounds(schedule, base, steps, epoch, final, data):
    rate = learning_rate(schedule, base, steps, epoch, final)
    step = data.draw(st.integers(0, steps - 1))
    assert 0 <= rate(step + 1) <= rate(step) * (1 + 1e-9) <= base * (1 + 2e-9)
