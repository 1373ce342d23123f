from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from streams import pictures, write_shards

import aimgan
from aimgan.data import ImageSet, Stream
from aimgan.errors import AimganError
from aimgan.experiments import evaluation, training
from aimgan.experiments.images import DIGITS
from aimgan.metrics import prior_matching


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    folder = write_shards(tmp_path / "data", pictures(90))
    data = Stream(str(folder), size=8, channels=1, buffer=25)
    return replace(DIGITS, name="stream/aim", data=data, steps=20, batch_size=20, checkpoint_seconds=0.0, samples=100)


@pytest.fixture
def unscored(monkeypatch):
    """End a run with its model: its scores take longer than its steps."""
    monkeypatch.setattr(training, "finish", lambda model, data, run, *rest: model.save(run.model))


def weights(folder) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def stopping_at(monkeypatch, stop: int) -> None:
    """Fail at a step, as a kill would end it."""
    whole = ImageSet.batch

    def batch(self, seed: int, step: int, *rest: int) -> torch.Tensor:
        if step == stop:
            raise RuntimeError("killed")
        return whole(self, seed, step, *rest)

    monkeypatch.setattr(ImageSet, "batch", batch)


def test_a_killed_run_goes_on_at_the_exact_image(tmp_path, recipe, unscored):
    aimgan.train(recipe, tmp_path / "whole", device="cpu")
    for stop in (6, 13):  # the second in another epoch and window
        with pytest.MonkeyPatch.context() as patch:
            stopping_at(patch, stop)
            with pytest.raises(RuntimeError, match="killed"):
                aimgan.train(recipe, tmp_path / "stopped", device="cpu")
    aimgan.train(recipe, tmp_path / "stopped", device="cpu")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


def test_a_streamed_run_is_scored_and_drawn(tmp_path, recipe, monkeypatch):
    monkeypatch.setattr(evaluation, "CODES", 500)
    monkeypatch.setattr(evaluation, "prior_matching", lambda codes, generator: prior_matching(codes[:50], generator))
    aimgan.train(replace(recipe, steps=3, evaluate_every=1), tmp_path / "run", device="cpu")
    scores = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert 0 < scores["reconstruction_mse"] < 1
    assert 0 < scores["reconstruction_mse_train"] < 1
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} >= {"samples.png", "reconstructions.png"}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["recipe"]["data"]["kind"] == "stream"


def test_an_error_in_the_background_ends_the_run_in_one_line(tmp_path, recipe, unscored, monkeypatch):
    whole = ImageSet.batch

    def batch(self, seed: int, step: int, *rest: int) -> torch.Tensor:
        if step == 5:
            for shard in (tmp_path / "data").iterdir():
                shard.unlink()
        return whole(self, seed, step, *rest)

    monkeypatch.setattr(ImageSet, "batch", batch)
    with pytest.raises(AimganError, match=r"cannot read '.*\.tar' any more \(No such file or directory\)"):
        aimgan.train(recipe, tmp_path / "run", device="cpu")
    monkeypatch.undo()
