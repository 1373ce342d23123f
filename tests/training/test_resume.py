"""The real thing: `aimgan.train` and the command, stopped in every way, against the same run left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import aimgan
from aimgan import console
from aimgan.errors import AimganError, Interrupted
from aimgan.training import checkpoint
from aimgan.training.loop import NonFiniteLoss
from aimgan.training.run_dir import RunDir

pytestmark = pytest.mark.usefixtures("quick")
STEPS = 120
COMMAND = [sys.executable, "-m", "aimgan", "train", "grid/aim", f"--steps={STEPS}", "--seed=3", "--device=cpu"]


def train(folder: Path, recipe: str = "grid/aim", **given):
    return aimgan.train(recipe, folder, **{"steps": STEPS, "seed": 3, "device": "cpu", **given})


def model_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "model").iterdir()}


def rows(folder: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.endswith("_per_second")} for row in RunDir(folder).rows()]


def interrupt_at(monkeypatch, stop: int, signum: int = signal.SIGTERM) -> None:
    """Send this process a signal after step `stop`."""
    training = console.training

    class Reporting:
        def __init__(self, *arguments) -> None:
            self.inner = training(*arguments)

        def __enter__(self):
            report = self.inner.__enter__()

            def heard(step: int, row: object) -> None:
                report(step, row)
                if step == stop:
                    os.kill(os.getpid(), signum)

            return heard

        def __exit__(self, *error) -> None:
            self.inner.__exit__(*error)

    monkeypatch.setattr(console, "training", Reporting)


@pytest.fixture
def unscored(monkeypatch) -> None:
    """End runs with their model and nothing else."""
    monkeypatch.setattr("aimgan.runs.train.finish", only_the_model)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aimgan.runs.train.finish", only_the_model)
        train(folder)
    return folder


def only_the_model(model, data, run, *rest) -> None:
    model.reestimate_batch_norm(3)
    model.save(run.model)


@pytest.mark.usefixtures("unscored")
def test_a_run_stopped_at_random_steps_is_the_run_left_alone(tmp_path, whole, monkeypatch):
    for stop in sorted(random.Random(0).sample(range(1, STEPS), 3)):
        with monkeypatch.context() as patch:
            interrupt_at(patch, stop)
            with pytest.raises(Interrupted, match=f"stopped after step {stop} of {STEPS}"):
                train(tmp_path)
        assert not (tmp_path / "model").exists()
        with pytest.raises(AimganError, match="is a run that has no model yet: repeat its training command"):
            aimgan.load(tmp_path)
    train(tmp_path)
    assert model_bytes(tmp_path) == model_bytes(whole)
    assert rows(tmp_path) == rows(whole)
    assert [[*row] for row in rows(tmp_path)] == [[*row] for row in rows(whole)]  # the order that figures are drawn in


@pytest.mark.usefixtures("unscored")
def test_the_moment_of_a_checkpoint_is_no_setting_of_the_run(tmp_path, whole):
    train(tmp_path, settings={"checkpoint_seconds": 0.1})
    train(tmp_path, settings={"checkpoint_seconds": 1_000})
    assert model_bytes(tmp_path) == model_bytes(whole)


@pytest.mark.usefixtures("unscored")
@pytest.mark.parametrize(
    ("signum", "code", "message"),
    [(signal.SIGKILL, -9, ""), (signal.SIGINT, 130, "run the same command again to go on\n")],
)
def test_a_command_that_is_stopped_goes_on_to_the_same_bytes(tmp_path, whole, signum, code, message):
    process = subprocess.Popen(
        [*COMMAND, f"--output={tmp_path}", "--set=checkpoint_seconds=0.02"], stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while process.poll() is None and not list((tmp_path / "checkpoints").glob("[0-9]*")):
        time.sleep(0.001)
    process.send_signal(signum)
    _, error = process.communicate()
    assert process.returncode == code
    assert error.endswith(message)
    assert error.count("\n") == (1 if message else 0)
    stopped = checkpoint.newest(tmp_path / "checkpoints").step
    assert 0 < stopped < STEPS
    train(tmp_path)
    assert model_bytes(tmp_path) == model_bytes(whole)
    assert rows(tmp_path) == rows(whole)


def test_digits_stop_and_go_on_to_the_same_bytes(tmp_path, monkeypatch):
    """A data set with epochs (15 steps each, in an order of their own), evaluated on the way."""
    short = {"steps": 34, "settings": {"evaluate_every": 0.5, "networks.width": 32}}
    train(tmp_path / "whole", "digits/aim", **short)
    for stop in (9, 16):
        with monkeypatch.context() as patch:
            interrupt_at(patch, stop, signal.SIGINT)
            with pytest.raises(Interrupted):
                train(tmp_path / "stopped", "digits/aim", **short)
    train(tmp_path / "stopped", "digits/aim", **short)
    assert model_bytes(tmp_path / "stopped") == model_bytes(tmp_path / "whole")
    assert rows(tmp_path / "stopped") == rows(tmp_path / "whole")
    scored = [row for row in rows(tmp_path / "whole") if "reconstruction_mse" in row]
    assert [row["step"] for row in scored] == [8, 16, 24, 32, 34]
    assert scored[-1]["alarms"]  # after 34 steps it is worse than the mean image
    assert scored[-1].keys() == {"step", "epoch", "reconstruction_mse", "coverage_80", "reconstruction_mse_running",
                                 "coverage_80_running", "generated_spread", "generated_saturated", "codes_at_prior",
                                 "posterior_log_variance", "variance_at_floor", "variance_at_ceiling",
                                 "error_over_mean_image", "alarms"}  # fmt: skip
    evaluations = [(tmp_path / name / "evaluation.json").read_bytes() for name in ("whole", "stopped")]
    assert evaluations[0] == evaluations[1]


def test_a_finished_run_is_loaded_and_an_extended_one_goes_on(tmp_path, monkeypatch):
    first = train(tmp_path, steps=20)
    with monkeypatch.context() as patch:
        patch.setattr("aimgan.training.loop.Loop.train", lambda *_: pytest.fail("trained again"))
        again = train(tmp_path, steps=20)
    assert all(value.equal(again.state_dict()[name]) for name, value in first.state_dict().items())
    with pytest.raises(AimganError, match="steps = 20, but 30 was asked for: pass --extend"):
        train(tmp_path, steps=30)
    with pytest.raises(AimganError, match=r"holds a run with recipe\.lr = 0\.002, but 0\.001 was asked for"):
        train(tmp_path, steps=20, settings={"lr": 1e-3})
    with pytest.raises(AimganError, match="seed = 3, but 4 was asked for"):
        train(tmp_path, steps=20, seed=4)
    longer = train(tmp_path, steps=30, extend=True)
    assert longer.config.about["steps"] == rows(tmp_path)[-1]["step"] == 30
    assert train(tmp_path, steps=30).config.about["steps"] == 30


def test_a_run_killed_while_it_finishes_is_finished_from_its_last_checkpoint(tmp_path, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("aimgan.runs.finish.evaluate", lambda *_: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            train(tmp_path)
    assert not (tmp_path / "evaluation.json").exists()
    train(tmp_path)
    assert (tmp_path / "evaluation.json").exists()
    assert model_bytes(tmp_path) == model_bytes(whole)


def test_a_wrong_option_leaves_no_folder_and_a_diverging_run_says_so(tmp_path):
    with pytest.raises(AimganError, match=r"weight is -1\.0; expected a finite number"):
        train(tmp_path / "run", settings={"weight": -1.0})
    assert not (tmp_path / "run").exists()
    with pytest.raises(NonFiniteLoss, match=r"^AIM: .* is (nan|inf) at step \d+ \(loss/D.*lower learning rate"):
        train(tmp_path / "run", settings={"lr": 1e30})
    assert checkpoint.newest(tmp_path / "run" / "checkpoints") is None
