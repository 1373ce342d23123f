"""Stacked MNIST from the command line, with the embedded digits in MNIST's place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from saved import arrays_of

from aimgan.data import Stacked
from aimgan.data.digits import load_digits
from aimgan.evaluation import digit_classifier, stacked
from aimgan.evaluation.digit_classifier import Settings

SMALL = ("--size", 8, "--set", "networks.width=16", "--steps", 4, "--device", "cpu")


@pytest.fixture
def _few(tmp_path, monkeypatch):
    """A quick classifier in a cache of its own, 1,500 samples, and digits.npz."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digit_classifier, "SETTINGS", Settings(epochs=2, shift=0.5))
    monkeypatch.setattr(stacked, "SAMPLES", 1_000)
    digits = load_digits()
    parts = {"train": digits.train, "test": digits.test}
    arrays = {f"x_{name}": split.pixels[:, 0].numpy() for name, split in parts.items()}
    np.savez("digits.npz", **arrays, **{f"y_{name}": split.labels.numpy() for name, split in parts.items()})


@pytest.mark.usefixtures("_few")
def test_a_run_counts_its_modes_with_a_classifier_that_it_trains_once(aimgan):
    done = aimgan("train", "stacked-mnist/aim", "--data", "digits.npz", *SMALL, "--output", "run")
    assert done.code == 0
    assert done.error.startswith("training a digit classifier (2 epochs), to be kept as ")
    assert "classifier_accuracy" in done.out
    scores = json.loads(Path("run/evaluation.json").read_text())
    assert scores["samples"] == 1_000
    assert scores["modes"] in range(1, 1001)
    assert scores["mode_kl"] > scores["mode_kl_real"] > 0
    assert scores["modes_real"] > 300
    assert scores["mode_kl_floor"] == pytest.approx(999 / 2_000)
    assert scores["classifier_accuracy"] > 0.5
    assert 0 < scores["reconstruction_mse"] < 1
    assert "mode_spread" not in scores
    with Image.open("run/figures/reconstructions.png") as picture:
        assert picture.mode == "RGB"

    done = aimgan("evaluate", "run", "--json", "other.json", "--data", "digits.npz", "--seed", 1)
    assert (done.code, done.error) == (0, "")
    other = json.loads(Path("other.json").read_text())
    assert other.keys() == scores.keys() - {"steps"}
    assert other["mode_kl_real"] != scores["mode_kl_real"]
    assert other["reconstruction_mse"] == scores["reconstruction_mse"]  # stacked as they were in training


@pytest.mark.usefixtures("_few")
def test_real_pictures_score_by_their_true_labels_what_they_score_by_a_good_classifier():
    data = Stacked("digits.npz", size=8).load()
    trained = digit_classifier.train(data.images, Settings(epochs=4, shift=0.5))
    told = stacked.counted(data.test(), data, trained).counts
    true = stacked.StackedCounts.of(data.test_labels()).counts
    agreed = float((told.minimum(true)).sum() / true.sum())
    assert agreed > trained.record["test_accuracy"] ** 3 - 0.1
    assert stacked.real_counts(data, trained, 0).counts.sum() == 1_000


@pytest.mark.usefixtures("_few")
def test_digits_without_labels_are_refused_in_one_line(aimgan):
    np.savez("plain.npz", images=arrays_of("digits.npz")["x_train"])
    done = aimgan("train", "stacked-mnist/aim", "--data", "plain.npz", *SMALL)
    assert done.code == 1
    assert "'plain.npz' has no labels from 0 to 9" in done.error
    assert done.error.count("\n") == 1
