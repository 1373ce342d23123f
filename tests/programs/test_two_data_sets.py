"""Translation between two data sets: train, go on, score, translate both ways, and the errors of each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from short_ends import score_few

import aimgan as library
from aimgan.checked import numbers
from aimgan.data import PairedDigits


@pytest.fixture(autouse=True)
def _scored_on_few(monkeypatch: pytest.MonkeyPatch) -> None:
    score_few(500, 100, 500, monkeypatch.setattr)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, channels in (("a", 1), ("b", 3)):
        (tmp_path / name).mkdir()
        for k in range(40):
            shape = (16, 16) if channels == 1 else (16, 16, 3)
            pixels = np.random.default_rng(k).integers(0, 255, shape, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{k}.png")
    return tmp_path


def test_two_folders_are_trained_on_and_translated(home: Path, aimgan) -> None:
    command = ["train", "pairs/cyclegan", "--data", "a", "--data-b", "b", "--size", 16, "--steps", 3, "--output", "run",
               "--set", "networks.width=8", "--set", "batch_size=8", "--set", "data.test_fraction=0.3"]  # fmt: skip
    done = aimgan(*command)
    assert (done.code, done.error) == (0, "")
    scores = json.loads((home / "run" / "evaluation.json").read_text())
    assert {"a_to_b_mse", "b_to_a_pairs", "cycle_mse_b", "mean_of_a_mse", "reconstruction_mse"} <= {*scores}
    for name in ("report.md", "report.html", "figures/translations.png"):
        assert (home / "run" / name).is_file()
    assert "--data=a --data-b=b" in (home / "run" / "report.md").read_text()
    assert "is complete" in aimgan(*command).out
    assert "has other data" in aimgan(*[{"b": "a"}.get(str(word), word) for word in command]).error

    done = aimgan("evaluate", "run", "--json", "again.json")
    assert (done.code, done.error) == (0, "")
    again = json.loads((home / "again.json").read_text())
    assert {name: again[name] for name in numbers(again)} == {
        name: value for name, value in numbers(scores).items() if name != "steps"
    }
    assert aimgan("translate", "run", "a/1.png", "a/2.png", "--output", "b.npz").code == 0
    assert aimgan("translate", "run", "b/1.png", "--back", "--output", "a.png").code == 0
    arrays = np.load(home / "b.npz")
    assert (arrays["images"].shape, arrays["translations"].shape) == ((2, 1, 16, 16), (2, 3, 16, 16))
    assert arrays["translations"].min() >= 0
    assert "p(z) of this model is a second data set" in aimgan("generate", "run", "--output", "x.png").error
    assert "two data sets, which --data cannot replace" in aimgan("evaluate", "run", "--data", "b").error


def test_a_run_that_is_stopped_and_begun_again_has_the_same_bytes(tmp_path: Path) -> None:
    settings = {"networks.width": 8, "checkpoint_seconds": 0}

    def train(folder: str, steps: int) -> None:
        library.train("pairs-digits/cyclegan", tmp_path / folder, steps=steps, settings=settings, extend=True)

    train("whole", 6)
    checkpoints = sorted((tmp_path / "whole" / "checkpoints").iterdir())
    model = (tmp_path / "whole" / "model" / "model.safetensors").read_bytes()
    (tmp_path / "whole" / "evaluation.json").unlink()
    newest = checkpoints[-1] / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])  # torn: the one before it is taken
    with pytest.warns(UserWarning, match="is damaged and is ignored"):
        train("whole", 6)
    assert (tmp_path / "whole" / "model" / "model.safetensors").read_bytes() == model


def test_points_and_digits_are_translated_by_other_objectives(tmp_path: Path) -> None:
    for name in ("pairs-points/aim", "pairs-points/discogan", "pairs-points/dualgan", "pairs-digits/alice"):
        model = library.train(name, tmp_path / name, steps=2)
        scores = json.loads((tmp_path / name / "evaluation.json").read_text())
        assert 0 <= scores["a_to_b_classes"] <= 1
        assert ("coverage_80" in scores) == (model.config.posterior == "gaussian")
        assert not any(name.startswith("prior_") for name in scores)
    x = PairedDigits().load().test(5)
    assert library.load(tmp_path / "pairs-digits" / "alice").encode(x).mean.shape == (5, 64)


def test_what_does_not_fit_is_said_in_a_line(home: Path, aimgan) -> None:
    for words, message in (
        (["pairs/cyclegan", "--data", "a"], "this recipe needs two data sets: pass --data A and --data-b B"),
        (["folder/aim", "--data", "a", "--data-b", "b"], "recipe folder/aim has no second data set"),
        (["pairs-digits/vae"], "unknown recipe 'pairs-digits/vae'"),
        (["pairs-digits/aim", "--set", "data=digits"], "has one data set, and its networks are Translator"),
        (["digits/aim", "--set", "data=pairs-digits"], "has two data sets, and its networks are MLP"),
    ):
        done = aimgan("train", *words)
        assert done.code == 1
        assert message in done.error
