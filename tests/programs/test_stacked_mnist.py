"""benchmarks/stacked_mnist.py, with the embedded digits in MNIST's place."""

from __future__ import annotations

import importlib
import json
import math
import shutil
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from aimgan.data import Images
from aimgan.data.digits import load_digits
from aimgan.errors import AimganError
from aimgan.evaluation import digit_classifier
from aimgan.evaluation.digit_classifier import Settings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def stacked(tmp_path, monkeypatch) -> ModuleType:
    """A copy of the script, a quick classifier in a cache of its own, and digits.npz."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digit_classifier, "SETTINGS", Settings(epochs=2, shift=0.5))
    for name in ("stacked_mnist",):  # copies: they write results beside themselves
        shutil.copy(BENCHMARKS / f"{name}.py", tmp_path / f"{name}.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stacked_mnist", raising=False)
    digits = load_digits()
    arrays = {}
    for name, split in (("train", digits.train), ("test", digits.test)):
        arrays |= {f"x_{name}": split.pixels[:, 0].numpy(), f"y_{name}": split.labels.numpy()}
    np.savez("digits.npz", **arrays)
    module = importlib.import_module("stacked_mnist")
    monkeypatch.setattr(module, "SIDE", 16)
    return module


def test_a_run_counts_its_modes(stacked):
    small = ["--set", "networks.width=16", "--steps", "4", "--stacks", "300", "--samples", "1000", "--device", "cpu"]
    scores = stacked.main(["--data", "digits.npz", *small, "--output", "out"])
    assert json.loads(Path("out/stacked-mnist.json").read_text()) == scores
    assert scores["generated"]["modes"] in range(1, 1001)
    assert scores["generated"]["mode_kl"] > scores["real"]["mode_kl"] > 0
    assert scores["real"]["modes"] > 300
    assert scores["real"]["mode_kl_floor"] == pytest.approx(999 / 2_000)
    assert scores["classifier_accuracy"] > 0.5
    run = Images("out/stacks.npz", 16, 3).load()
    assert (run.shape, run.epoch_size) == ((3, 16, 16), 300)


def test_a_picture_is_three_digits_inside_a_black_border(stacked):
    digits = load_digits()
    pictures, labels = stacked.stacks(digits.train, 200, seed=0)
    assert pictures.shape == (200, 3, 16, 16)
    assert int(pictures.sum()) == int(pictures[:, :, 4:12, 4:12].sum())
    match = (pictures[:, :, None, 4:12, 4:12] == digits.train.pixels[:, 0]).flatten(3).all(-1)
    assert torch.equal(digits.train.labels[match.int().argmax(-1)], labels)
    again, _ = stacked.stacks(digits.train, 200, seed=0)
    assert torch.equal(again, pictures)


def test_scores_agree_with_a_loop(stacked):
    classes = torch.tensor([0.16, 0.04, *[0.1] * 8], dtype=torch.float64)
    labels = torch.multinomial(classes, 12_000, True, generator=torch.Generator().manual_seed(0)).view(4_000, 3)
    weights = {mode: math.prod(float(classes[digit]) for digit in mode) for mode in product(range(10), repeat=3)}
    found = stacked.mode_scores(labels, stacked.mode_weights(classes))
    seen = Counter(map(tuple, labels.tolist()))
    frequencies = [seen[mode] / 4_000 for mode in weights]
    assert (found["samples"], found["modes"]) == (4_000, len(seen))
    assert found["mode_kl"] == pytest.approx(entropy(frequencies, list(weights.values())), rel=1e-9)
    assert found["mode_kl_uniform"] == pytest.approx(entropy(frequencies, [1e-3] * 1000), rel=1e-9)


def test_digits_without_labels_are_refused(stacked):
    with np.load("digits.npz") as held:
        np.savez("plain.npz", images=held["x_train"])
    with pytest.raises(AimganError, match="no labels"):
        stacked.main(["--data", "plain.npz"])
