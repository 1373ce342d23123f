"""Trackers: TensorBoard's own reader, and one that stands for those that need a network."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from accelerate.tracking import GeneralTracker
from matplotlib.figure import Figure
from test_resume import interrupt_at

import aimgan
from aimgan.errors import AimganError, Interrupted
from aimgan.training import tracking
from aimgan.training.run_dir import RunDir
from aimgan.training.tracking import Tracking, trackers

SHORT = {"steps": 40, "seed": 3, "device": "cpu", "settings": {"evaluate_every": 1.0, "networks.width": 16}}


class Recorder(GeneralTracker):
    """A tracker that keeps what it is told."""

    name, requires_logging_directory, tracker = "wandb", False, None
    told: ClassVar[list[tuple[int, dict]]]
    begun: ClassVar[list[dict]]
    settings: ClassVar[list[dict]]
    fails_at: ClassVar[int | None]

    def __init__(self, **given) -> None:
        self.begun.append(given)

    def start(self) -> None:
        pass

    def store_init_configuration(self, values: dict) -> None:
        self.settings.append(values)

    def log(self, values: dict, step: int) -> None:
        if step == self.fails_at:
            raise ConnectionError("no route\nto host")
        self.told.append((step, values))

    def log_images(self, values: dict, step: int) -> None:
        self.told.append((step, {name: images[0].shape for name, images in values.items()}))

    def finish(self) -> None:
        self.told.append((-1, {}))


@pytest.fixture
def recorder(monkeypatch) -> type[Recorder]:
    own = type("Recorder", (Recorder,), {"told": [], "begun": [], "settings": [], "fails_at": None})
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: ["tensorboard", "wandb"])
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", own)
    return own


def events(folder: Path) -> dict:
    """Return what TensorBoard itself shows of a run: steps and values by tag, and steps by picture."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    seen.Reload()
    scalars = {tag: [(e.step, e.value) for e in seen.Scalars(tag)] for tag in seen.Tags()["scalars"]}
    return scalars | {f"image {tag}": [e.step for e in seen.Images(tag)] for tag in seen.Tags()["images"]}


def same_but_speeds(folder: Path) -> dict[str, object]:
    """Return a run's files, but its day and its events."""
    left_out = {"run.json", "metrics.jsonl"}
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in left_out]
    paths = [
        path for path in paths if path.relative_to(folder).parts[0] not in ("tensorboard", "tracking", "checkpoints")
    ]
    rows = [{k: v for k, v in row.items() if not k.endswith("_per_second")} for row in RunDir(folder).rows()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths} | {"rows": rows}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory) -> Path:
    """A run with TensorBoard, stopped twice; the second time its events lie past the checkpoint it goes on from."""
    pytest.importorskip("tensorboard")
    folder = tmp_path_factory.mktemp("tracked") / "run"
    with pytest.MonkeyPatch.context() as patch:
        cheap(patch)
        for stop in (17, 31):
            with patch.context() as inner:
                interrupt_at(inner, stop)
                with pytest.raises(Interrupted):
                    aimgan.train("digits/aim", folder, track=["tensorboard"], **SHORT)
            if stop == 31:  # as if the kill had come before the checkpoint
                (newest := max((folder / "checkpoints").glob("[0-9]*"))).rename(folder.parent / newest.name)
        aimgan.train("digits/aim", folder, track=None, **SHORT)
    return folder


def cheap(patch) -> None:
    """Score nothing: what is sent is looked at here, not what it is worth."""
    patch.setattr("aimgan.runs.train.progress_scores", lambda *_: {"reconstruction_mse": 0.5})
    patch.setattr("aimgan.runs.train.collapse_signs", lambda *_: {})
    patch.setattr("aimgan.runs.finish.evaluate", lambda *_: {"reconstruction_mse": 0.25})
    patch.setattr("aimgan.runs.finish.write_report", lambda *_: [])
    patch.setattr("aimgan.runs.finish.curves", lambda *_: Figure(figsize=(1, 1)))


def test_tensorboard_has_every_row_once_and_the_pictures(tracked):
    seen = events(tracked)
    rows = RunDir(tracked).rows()
    for name in ("loss/D", "D/real", "G+E/nll"):
        assert seen[name] == [(row["step"], pytest.approx(row[name])) for row in rows if name in row]
    scored = [row["step"] for row in rows if "reconstruction_mse" in row]
    assert [step for step, _ in seen["evaluation/reconstruction_mse"]] == scored == [15, 30, 40]
    assert seen["image samples"] == seen["image reconstructions"] == scored
    assert [step for step, _ in seen["final/reconstruction_mse"]] == seen["image final/samples"] == [40]


def test_tensorboard_reads_the_sessions_of_one_second_in_their_order(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.summary.writer import event_file_writer

    while event_file_writer._global_uid.get() % 10 != 8:  # as text, counter 10 comes before counter 9
        pass
    for start in (0, 2, 4):
        run_with(tmp_path, ["tensorboard"], range(start + 1, start + 5), start=start)
    assert [step for step, _ in events(tmp_path)["loss/D"]] == list(range(1, 9))


def test_tracking_changes_no_byte_of_the_run(tracked, tmp_path, monkeypatch):
    cheap(monkeypatch)
    aimgan.train("digits/aim", tmp_path / "run", **SHORT)
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert same_but_speeds(tmp_path / "run") == same_but_speeds(tracked)


def run_with(folder: Path, names: list[str], rows: range, start: int = 0, warn=None) -> RunDir:
    run = RunDir(folder)
    run.begin({"steps": 100, "recipe": {"lr": 0.1}})
    run.rewind(start)
    track = Tracking(run, names, warn or pytest.fail)
    with track.opened():
        for step in rows:
            row = {"step": step, "lr": 0.1, "loss/D": 1 / step}
            if step % 3 == 0:
                track.show(lambda: {"samples": np.zeros((4, 6, 3), np.uint8)})
            run.append(row)
            track.row(row)
    return run


def test_a_tracker_gets_each_row_once_however_often_the_run_is_killed(tmp_path, recorder):
    run_with(tmp_path, ["wandb"], range(1, 6))
    run_with(tmp_path, ["wandb"], range(3, 5), start=2)  # killed again, before it had gone as far
    run_with(tmp_path, ["wandb"], range(3, 8), start=2)
    logged = [(step, values) for step, values in recorder.told if "loss/D" in values]
    assert [step for step, _ in logged] == [1, 2, 3, 4, 5, 6, 7]
    assert logged[0][1] == {"training/lr": 0.1, "loss/D": 1.0, "training/alarms": 0}
    assert [step for step, values in recorder.told if "samples" in values] == [3, 6]
    assert len({(run["id"], run["name"]) for run in recorder.begun}) == 1
    assert recorder.settings == [{"steps": 100, "recipe.lr": 0.1}]


def test_a_tracker_that_joins_later_gets_the_rows_before(tmp_path, recorder):
    run_with(tmp_path, [], range(1, 4))
    run_with(tmp_path, ["wandb"], range(4, 6), start=3)
    assert [step for step, values in recorder.told if "loss/D" in values] == [1, 2, 3, 4, 5]


def test_a_tracker_that_fails_is_told_once_and_left(tmp_path, recorder):
    recorder.fails_at, told = 2, []
    run = run_with(tmp_path, ["wandb"], range(1, 6), warn=told.append)
    assert told == [f"wandb failed (no route to host): training goes on without it, all rows are in {run.metrics}"]
    assert [row["step"] for row in run.rows()] == [1, 2, 3, 4, 5]


def test_nobody_waits_for_a_tracker_that_hangs(tmp_path, recorder, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", 0.3)
    monkeypatch.setattr(recorder, "log", lambda *_, **__: time.sleep(3))
    told, began = [], time.monotonic()
    run_with(tmp_path, ["wandb"], range(1, 50), warn=told.append)
    assert time.monotonic() - began < 1.5
    assert told == [f"wandb did not take all rows within 0.3 s: they are in {tmp_path / 'metrics.jsonl'}"]


def test_a_damaged_ledger_begins_a_new_run_there(tmp_path, recorder):
    run_with(tmp_path, ["wandb"], range(1, 3))
    (ledger := tmp_path / "tracking" / "wandb.json").write_text(ledger.read_text()[:-4])
    run_with(tmp_path, ["wandb"], range(3, 4), start=2)
    assert Counter(step for step, values in recorder.told if "loss/D" in values) == {1: 2, 2: 2, 3: 1}
    assert len({run["id"] for run in recorder.begun}) == 2
    assert json.loads(ledger.read_text())["rows"] == 3


def test_names_are_checked_before_anything_is_made(tmp_path, recorder):
    assert trackers(None) == ("tensorboard",)
    assert trackers(["wandb", "off", "wandb"]) == ("wandb",)
    assert trackers(["off"]) == trackers([]) == ()
    with pytest.raises(AimganError, match="unknown tracker 'wandv'; did you mean 'wandb'"):
        aimgan.train("grid/aim", tmp_path / "run", track=["wandv"])
    with pytest.raises(AimganError, match=r"mlflow is not installed \(here: tensorboard, wandb\): pip install mlflow"):
        aimgan.train("grid/aim", tmp_path / "run", track=["mlflow"])
    assert not (tmp_path / "run").exists()
