"""A user's mistake: exit code 1 and one line that says what was got, what was expected and the likely fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from saved import arrays_of
from short_ends import only_the_model

from aimgan import cli
from aimgan.model import LatentVariableModel, ModelConfig
from aimgan.training import checkpoint


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with models that nobody trained, and inputs."""
    home = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    configs = {
        "points": ModelConfig("mlp", {"width": 8}, "aim", "gaussian", True),
        "space": ModelConfig("mlp", {"width": 8, "shape": [3]}, "aim", "gaussian", True),
        "digits": ModelConfig("mlp", {"width": 8, "shape": [1, 8, 8]}, "aim", "gaussian", True),
        "gan": ModelConfig("mlp", {"width": 8, "shape": [1, 8, 8]}, "gan", None, False),
    }
    for name, config in configs.items():
        LatentVariableModel.build(config).save(home / name)
    Image.new("L", (8, 8), 100).save(home / "good.png")
    (home / "bad.png").write_text("this is no picture")
    (home / "torn.npz").write_bytes(b"PK\x03\x04 and no more")
    (home / "empty").mkdir()
    (home / "file").write_text("")
    np.save(home / "three.npy", np.zeros((4, 3)))
    np.save(home / "nan.npy", np.full((4, 2), np.nan))
    np.save(home / "text.npy", np.array(["a", "b"]))
    np.savez(home / "other.npz", codes=np.zeros((4, 2)))
    np.save(home / "one.npy", np.zeros((1, 8, 8), np.uint8))
    return home


@pytest.fixture
def refused(home, aimgan, monkeypatch):
    """Run a command that must fail, and return its one line."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def command(*words: object) -> str:
        before = sorted(home.rglob("*"))
        done = aimgan(*words)
        assert done.code == 1
        assert done.out == ""
        assert done.error.startswith("aimgan: ")
        assert done.error.endswith("\n")
        assert done.error.count("\n") == 1
        assert "Traceback" not in done.error
        assert sorted(home.rglob("*")) == before  # a mistake leaves nothing behind
        return done.error

    return command


@pytest.mark.parametrize("output", ["link", "pipe", "empty", "file/x.png"])
def test_files_that_cannot_be_written_are_refused_before_the_work(home, refused, monkeypatch, output):
    monkeypatch.setattr("aimgan.sharing.hub.load", None)  # no model is loaded, and no run is scored
    monkeypatch.setattr("aimgan.runs.evaluate.evaluate_run", None)
    for name in ("link", "pipe"):
        (home / name).unlink(missing_ok=True)
    (home / "link").symlink_to("good.png")
    os.mkfifo(home / "pipe")
    for words in (
        ("generate", "digits", "--output"), ("reconstruct", "digits", "good.png", "--output"),
        ("neighbours", "digits", "good.png", "--output"), ("interpolate", "digits", "good.png", "good.png", "--output"),
        ("encode", "digits", "good.png", "--output"), ("search", "digits", "--index", "empty", "--output"),
        ("compare", "digits", "gan", "--output"), ("evaluate", "digits", "--json"),
    ):  # fmt: skip
        assert f"cannot write {output} (" in refused(*words, output)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian grid/aim", "No such command 'trian'. Did you mean 'train'?"),
        ("train", "Missing argument 'recipe'"),
        ("train grid/aim --sede 1", "--seed"),
        ("train grid/aim --steps many", "Invalid value for '--steps'"),
        ("train grid/aime", "unknown recipe 'grid/aime'; did you mean 'grid/aim'?"),
        ("train folders/aim", "did you mean 'folder/aim'?"),
        ("train nothing-like-it", "unknown recipe 'nothing-like-it'; expected one of: celeba/aae, celeba/age, "),
        ("train grid/aim --device gpu", "unknown device 'gpu'; expected auto, cpu, cuda"),
        ("train grid/aim --set weight", "--set got 'weight'; expected NAME=VALUE, such as --set weight=1"),
        ("train grid/aim --set =1", "--set got '=1'"),
        ("train grid/aim --set wieght=1", "unknown setting of grid/aim 'wieght'; did you mean 'weight'?"),
        ("train grid/gan --set weight=1", "unknown setting of grid/gan 'weight'"),
        ("train grid/aim --set networks.widht=1", "did you mean 'networks.width'?"),
        ("train grid/aim --set lr=fast", "lr is 'fast'; expected a number"),
        ("train grid/aim --set batch_size=2.5", "batch_size is '2.5'; expected an integer"),
        ("train grid/aim --set networks.generator_norm=1", "generator_norm is '1'; expected true or false"),
        ("train grid/aim --set weighting=bth", "unknown value of weighting 'bth'; did you mean 'both'?"),
        ("train grid/aim --set weighting=bth --output file/x", "did you mean 'both'?"),
        ("train grid/aim --set value=wgan", "unknown value of value 'wgan'; did you mean 'gan'?"),
        ("train grid/aim --set weight=-1", "weight is -1.0; expected a finite number >= 0"),
        ("train grid/aim --set beta=nan", "beta is nan; expected a finite number"),
        ("train grid/aim --set schedule=liner", "unknown schedule 'liner'; did you mean 'linear'?"),
        ("train grid/aim --set lr=0", "lr is 0.0; expected a number above zero"),
        ("train grid/aim --set lr=inf", "lr is inf; expected a finite number"),
        ("train grid/aim --set ema=1", "ema is 1.0; expected a number from 0 to below 1"),
        ("train grid/aim --set batch_size=1", "batch_size is 1; expected at least 2"),
        ("train grid/aim --set data.side=0", "means have shape (0,)"),
        ("train grid/aim --set networks.width=0", "networks.width is 0; expected at least 1"),
        ("train grid/aim --set networks.depth=0", "networks.depth is 0; expected at least 1"),
        ("train grid/aim --set networks.generator_depth=0", "networks.generator_depth is 0; expected at least 1"),
        ("train grid/aim --set networks.scale=0", "networks.scale is 0; expected a number above zero"),
        ("train grid/aim --set data.std=-1", "data.std is -1; expected a standard deviation above zero"),
        ("train ring/aim --set data.std=0", "data.std is 0; expected a standard deviation above zero"),
        ("train digits/aim --output run\udce9", r"--output is 'run\udce9'; expected UTF-8: rename it"),
        ("train folder/aim --data photos\udce9", r"--data is 'photos\udce9'; expected UTF-8: rename it"),
        ("train grid/aim --steps 0", "steps is 0; expected a number above zero"),
        ("train grid/aim --steps 5 --set epochs=2", "got 5 steps and 2 epochs; expected one of them: leave one out"),
        ("train grid/aim --data photos", "grid/aim makes its own data: leave --data out, or take folder/aim"),
        ("train digits/gan --size 8", "digits/gan makes its own data: leave --size out, or take folder/gan"),
        ("train folder/aim", "this recipe needs images: pass --data PATH"),
        ("train folder/aim --data nowhere", "there is no file or folder 'nowhere'"),
        ("train folder/aim --data empty", "no images in 'empty'"),
        ("train folder/aim --data one.npy", "there is 1 image to train on; expected at least 2"),
        ("train folder/aim --data good.png --size 8", "good.png"),
        ("train folder/aim --data empty --size 24", "got samples of (3, 24, 24); expected images (c, side, side)"),
        ("train folder/aim --data empty --size 16 --set networks.width=24", "expected a multiple of 16"),
        ("train mnist/aim --data empty --size 32", "expected (1, 28, 28): pass --size 28"),
        ("train grid/aim --output file", "file exists and is not a run folder: choose another --output"),
        ("train grid/aim --output digits", "digits exists and is not a run folder"),
        ("train grid/aim --output file/run", "cannot create file/run (Not a directory): choose another --output"),
        ("evaluate nowhere", "nowhere is not a run folder (no run.json): check the path, or train a run"),
        ("evaluate points", "points is not a run folder"),
        ("info nowhere", "nowhere is not a model folder (config.json and model.safetensors expected)"),
        ("info my/typo", "no folder my/typo here, and the Hub has no model my/typo within reach"),
        ("generate empty -o x.png", "empty is not a model folder"),
        ("generate points", "Missing option '--output'"),
        ("generate points -n 0 -o x.png", "n is 0; expected at least 1"),
        ("generate points -o x.jpg", "--output is x.jpg; expected a name that ends in .png"),
        ("generate space -o x.png", "--output is x.png; expected a name that ends in .png (2-D points or images)"),
        ("generate points -o file/x.png", "/file is no folder that you may write to): choose another path"),
        ("generate points -o /proc/x.npz", "cannot write /proc/x.npz ("),
        ("generate points -o x.png --device cuda", "torch sees no GPU here: use --device cpu, or auto"),
        ("generate points -o x.png --device tpu", "unknown device 'tpu'"),
        ("reconstruct gan good.png -o x.png", "this model (gan) has no encoder: it can only generate"),
        ("reconstruct digits bad.png -o x.png", "bad.png is no image that can be read (not an image"),
        ("reconstruct digits none.png -o x.png", "none.png is no image that can be read (No such file or directory)"),
        ("reconstruct digits good.png empty -o x.png", "no images in 'empty'"),
        ("reconstruct points three.npy -o x.png", "three.npy holds (4, 3); expected finite points (n, 2)"),
        ("reconstruct points nan.npy -o x.png", "nan.npy holds (4, 2); expected finite points"),
        ("reconstruct points text.npy -o x.png", "text.npy holds images; expected numbers"),
        ("reconstruct points other.npz -o x.png", "other.npz holds codes; expected numbers: .npy, or `points` in .npz"),
        ("reconstruct points torn.npz -o x.png", "cannot read 'torn.npz' as plain arrays"),
        ("reconstruct points none.npy -o x.png", "cannot read 'none.npy' as plain arrays"),
        ("neighbours digits good.png -m 0 -o x.png", "m is 0; expected at least 1"),
        ("neighbours digits no/such/7.png -o x.png", "No such file"),
        ("interpolate digits good.png bad.png -o x.png", "bad.png is no image"),
        ("interpolate digits good.png good.png --steps 0 -o x.png", "steps is 0; expected at least 1"),
        ("encode digits good.png -o codes.csv", "--output is codes.csv; codes are written as .npz"),
        ("encode gan good.png -o codes.npz", "has no encoder"),
        ("encode digits torn.npz -o codes.npz", "cannot read 'torn.npz' as plain arrays"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line(refused, words, message):
    assert message in refused(*words.split())


def test_a_run_that_does_not_fit_is_named_with_both_values(aimgan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("aimgan.runs.train.finish", only_the_model)
    assert aimgan("train", "grid/aim", "--steps", 4, "-o", "run").code == 0
    record = Path("run/run.json").read_text()
    for words, message in (
        ("--steps 4 --set lr=1e-3", "run holds a run with recipe.lr = 0.002, but 0.001 was asked for"),
        ("--steps 4 --seed 1", "run holds a run with seed = 0, but 1 was asked for"),
        ("--steps 4 --set weighting=none", "recipe.options.weighting = both, but none was asked for"),
        ("--steps 8", "steps = 4, but 8 was asked for: pass --extend to go on with the new schedule"),
        ("--steps 2 --extend", "steps = 4, but 2 was asked for: use that run's settings"),
    ):
        done = aimgan("train", "grid/aim", "-o", "run", *words.split())
        assert done.code == 1
        assert message in done.error
        assert done.error.count("\n") == 1
    assert aimgan("train", "grid/gan", "-o", "run", "--steps", 4).error.count("grid/gan was asked for") == 1
    assert Path("run/run.json").read_text() == record
    done = aimgan("train", "grid/aim", "--steps", 6, "--extend", "-o", "run")
    assert (done.code, done.error) == (0, "")
    assert "going on after step 4 of 6" in done.out


def test_warnings_are_lines_and_a_torn_checkpoint_is_one(aimgan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("aimgan.runs.train.finish", only_the_model)
    assert aimgan("train", "grid/aim", "--steps", 3, "-o", "run", "--set", "checkpoint_seconds=0").code == 0
    whole = Path("run/model/model.safetensors").read_bytes()
    torn = Path("run/checkpoints/000000003") / checkpoint.TENSORS
    torn.write_bytes(torn.read_bytes()[:-1])
    record = json.loads(Path("run/run.json").read_text())
    record["environment"]["threads"] = 99
    Path("run/run.json").write_text(json.dumps(record))
    with pytest.warns(checkpoint.TornCheckpointWarning):
        done = aimgan("train", "grid/aim", "--steps", 3, "-o", "run")
    assert "warning: the environment has changed" in done.out
    assert "threads: 99 then" in done.out
    assert "going on after step 2 of 3" in done.out
    assert Path("run/model/model.safetensors").read_bytes() == whole


def test_names_with_markup_in_them_are_printed_as_they_are(aimgan, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "[red]photos"
    (folder / "[").mkdir(parents=True)
    (folder / "[" / "red]0.png").write_text("broken")  # "[/red]" would end a colour that never began
    Image.new("L", (8, 8), 9).save(folder / "1.png")
    done = aimgan("encode", home / "digits", folder, "-o", "[out].npz")
    assert (done.code, done.error) == (0, "")
    assert "skipped '[/red]0.png': " in done.out
    assert "wrote [out].npz" in done.out
    assert list(arrays_of("[out].npz")["names"]) == ["1.png"]


def test_help_without_a_verb_and_the_version(aimgan):
    done = aimgan()
    assert (done.code, done.error) == (0, "")
    assert done == aimgan("--help")
    assert all(verb in done.out for verb in ("train", "evaluate", "reconstruct", "neighbours", "interpolate", "encode"))
    assert aimgan("--version").out.startswith("aimgan 0.")
    for verb in typer.main.get_command(cli.app).commands:
        assert f"\n  aimgan {verb}" in aimgan(verb, "--help").out  # examples to copy, a line each


def test_help_answers_at_once():
    def seconds() -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "aimgan", "--help"], check=True, capture_output=True)
        return time.perf_counter() - begun

    assert min(seconds() for _ in range(3)) < 0.5
