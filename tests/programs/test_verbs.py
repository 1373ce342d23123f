"""Each verb once, tiny: the files that it writes and the ranges of their numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from nasty import write_nasty_folder
from PIL import Image
from saved import arrays_of

import aimgan as library
from aimgan.data import Digits, Grid
from aimgan.training.run_dir import RunDir

SMALL = {"grid/aim": 40, "grid/gan": 20, "digits/aim": 20, "folder/aim": 6}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Where all commands run: the runs that `trained` makes, and inputs for them."""
    home = tmp_path_factory.mktemp("home")
    grid = Grid().load()
    np.save(home / "points.npy", grid.test(20).numpy())
    np.savez(home / "a.npz", points=grid.test(1, seed=1).numpy())
    np.savez(home / "b.npz", points=grid.test(1, seed=2).numpy().astype(np.float64))
    pixels = Digits().load().images.test.pixels
    for k in range(3):
        Image.fromarray(pixels[k, 0].numpy()).save(home / f"{k}.png")
    return home


@pytest.fixture(scope="module")
def nasty(home) -> dict:
    return write_nasty_folder(home / "photos", count=60)


@pytest.fixture
def output(home, aimgan, monkeypatch) -> Callable[..., str]:
    """Run a command that must succeed without a warning, and return what it prints."""
    monkeypatch.chdir(home)

    def output(*words: object) -> str:
        done = aimgan(*words)
        assert (done.code, done.error) == (0, "")
        return done.out

    return output


@pytest.fixture
def trained(home, output) -> Callable[..., str]:
    """Train a recipe, once for all tests, and return its folder's name."""

    def train(recipe: str, *more: str) -> str:
        name = recipe.replace("/", "-")
        if not Path("runs", name).exists():
            track = [] if recipe == "grid/aim" else ["--track", "off"]
            said = output("train", recipe, "--steps", SMALL[recipe], "--device", "cpu", *track, *more)
            (home / f"{name}.txt").write_text(said)
        return f"runs/{name}"

    return train


@pytest.fixture
def folder(trained, nasty) -> str:
    return trained("folder/aim", "--data", "photos", "--size", "16", "--set", "networks.width=32")


def files(folder: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def picture(path: str) -> Image.Image:
    """Return a written picture that is not all of one colour."""
    image = Image.open(path).convert("RGB")
    assert len(np.unique(np.asarray(image.resize((32, 32))).reshape(-1, 3), axis=0)) > 2
    return image


def size(columns: int, rows: int) -> tuple[int, int]:
    """Return the size of a sheet of digits, 8 x 8, each enlarged to 64 x 64 with margins of 2."""
    return columns * 66 + 2, rows * 66 + 2


RUN = {"run.json", "metrics.jsonl", "evaluation.json", "report.md", "report.html", "figures/curves.png",
       "model/config.json", "model/model.safetensors", "model/README.md"}  # fmt: skip

# --- any path, any dimension ----------------------------------------------------------------------------------------


def test_paths_with_brackets_are_shown_as_they_are_and_codes_may_be_one_number(home, output):
    """Rich takes [/x] and [red] for markup, unless it is told not to. Reports and figures draw codes in a plane."""
    run = Path("runs", "[/x]", "[red]b")
    said = output("train", "grid/aim", "--steps", 10, "--set", "networks.dim=1", "--track", "off", "--output", run)
    assert f"wrote {run}/report.md" in said
    assert "wrote " in output("evaluate", run, "--json", run / "[/x].json")
    assert output("generate", run, "-n", 4, "--output", "[red].npz") == "wrote [red].npz\n"
    for words in (
        ("reconstruct", run, "points.npy"),
        ("neighbours", run, "a.npz"),
        ("interpolate", run, "a.npz", "b.npz"),
    ):
        assert "wrote [/x].png" in output(*words, "--output", "[/x].png")
    assert f"{run} is complete" in output(
        "train", "grid/aim", "--steps", 10, "--set", "networks.dim=1", "--track", "off", "--output", run
    )
    assert "networks.dim=1" in output("info", run)


# --- train --------------------------------------------------------------------------------------------------------


def test_train_on_points(trained, home):
    folder = trained("grid/aim")
    kept = {"state.json", "state.safetensors", "run.json", "metrics.jsonl"}
    state = {f"checkpoints/000000040/{name}" for name in kept}
    events = {name for name in files(folder) if name.startswith(("tensorboard/", "tracking/"))}
    assert events or not find_spec("tensorboard")  # written by default, where it is installed
    assert files(folder) - events == RUN | state | {"figures/figure3.png"}
    assert picture(f"{folder}/figures/figure3.png").width > 3 * picture(f"{folder}/figures/figure3.png").height
    picture(f"{folder}/figures/curves.png")
    assert [row["step"] for row in RunDir(folder).rows()] == list(range(2, 41, 2))
    report = Path(folder, "report.md").read_text()
    assert report.startswith("# grid/aim, seed 0\n\n**")  # the verdict comes first
    assert "modes were found" in report.split("\n\n")[1]
    assert all(Path(folder, link).is_file() for link in ("figures/curves.png", "figures/figure3.png") if link in report)
    said = (home / "grid-aim.txt").read_text()
    for text in ("step      40 of 40", "AIM (the paper)", f"wrote {folder}/model"):
        assert text in said


def test_a_gan_has_no_scores_of_inference(trained):
    folder = trained("grid/gan")
    scores = json.loads(Path(folder, "evaluation.json").read_text())
    assert "modes" in scores
    assert not {"reconstruction_mse", "coverage_80", "prior_mmd"} & scores.keys()
    assert "loss/G" in RunDir(folder).rows()[0]


def test_train_on_digits(trained):
    folder = trained("digits/aim")
    assert RUN | {f"figures/{name}.png" for name in ("samples", "reconstructions", "neighbours")} <= files(folder)
    assert picture(f"{folder}/figures/samples.png").size == size(8, 8)


def test_train_on_a_folder_names_what_it_skipped(folder, home, nasty):
    said = (home / "folder-aim.txt").read_text()
    for name in nasty["broken"]:
        assert f"skipped {name!r}: " in said
    assert f"skipped {len(nasty['broken'])} that could not be used; {nasty['good']} images are used" in said
    assert RunDir(folder).read()["settings"]["recipe"]["networks"]["shape"] == [3, 16, 16]
    assert library.load(folder).shape == (3, 16, 16)


def test_training_again_finds_the_run_complete(trained, output):
    folder = trained("grid/aim")
    before = Path(folder, "model", "model.safetensors").read_bytes()
    assert output("train", "grid/aim", "--steps", 40, "--device", "cpu") == f"{folder} is complete: 40 steps\n"
    assert Path(folder, "model", "model.safetensors").read_bytes() == before


# --- evaluate -----------------------------------------------------------------------------------------------------


def test_evaluate_points(trained, output):
    said = output("evaluate", trained("grid/aim"), "--json", "scores/grid.json", "--device", "cpu")
    assert max(map(len, said.splitlines())) <= 80
    assert "wrote scores/grid.json" in said
    scores = json.loads(Path("scores/grid.json").read_text())
    assert scores["samples"] == 3_000
    assert scores["modes"] in range(26)
    assert scores["mode_kl"] > 0
    low, high = scores["mode_spread"]
    assert 0 <= low <= high
    assert scores["reconstruction_mse"] > 0
    coverage = {f"coverage_{percent}" for percent in (50, 80, 95)}
    for name in coverage | {"high_quality", "share_within_3_sigma", "high_quality_2500"}:
        assert 0 <= scores[name] <= 1
    own = json.loads(Path("runs/grid-aim/evaluation.json").read_text())
    assert {**scores, "steps": 40} == own
    output("evaluate", "runs/grid-aim", "--json", "scores/other.json", "--seed", 1)
    assert json.loads(Path("scores/other.json").read_text())["high_quality"] != scores["high_quality"]


def test_evaluate_images_and_other_images(folder, output):
    output("evaluate", folder, "--json", "scores.json")
    scores = json.loads(Path("scores.json").read_text())
    assert 0 < scores["reconstruction_mse"] < 1
    assert scores["reconstruction_mse_signed"] == pytest.approx(4 * scores["reconstruction_mse"])
    assert 0 < scores["mean_image_mse"] < scores["unrelated_pair_mse"] < 1
    assert "modes" not in scores
    np.save("other.npy", torch.rand(5, 16, 16, 3).numpy())  # four to train, one to test
    output("evaluate", folder, "--json", "other.json", "--data", "other.npy")
    other = json.loads(Path("other.json").read_text())
    assert other["reconstruction_mse"] != scores["reconstruction_mse"]
    of_many = {name for name in scores if "prior_m" in name or "prior_s" in name or "share" in name}
    assert scores.keys() - other.keys() == of_many | {"unrelated_pair_mse"}


@pytest.mark.parametrize(("n", "test_fraction"), [(6, 0.0), (2, 0.1)])
def test_a_run_on_a_handful_of_images_ends(output, monkeypatch, tmp_path, n, test_fraction):
    monkeypatch.chdir(tmp_path)
    np.save("few.npy", torch.rand(n + 1, 8, 8, 3).numpy())
    small = ("--set", "networks.width=16", "--set", f"data.test_fraction={test_fraction}", "--size", 8, "--steps", 2)
    output("train", "folder/aim", "--data", "few.npy", *small, "--output", "run")
    scores = json.loads(Path("run/evaluation.json").read_text())
    assert ("reconstruction_mse" in scores) == (test_fraction > 0)


# --- the verbs of a trained model ---------------------------------------------------------------------------------


def test_generate(trained, output):
    run, digits = trained("grid/aim"), trained("digits/aim")
    assert output("generate", run, "-n", 5, "--output", "out/five.npz") == "wrote out/five.npz\n"
    points = arrays_of("out/five.npz")["points"]
    assert points.shape == (5, 2)
    for seed in (0, 1):
        output("generate", run, "-n", 5, "--output", "again.npz", "--seed", seed)
        assert np.array_equal(arrays_of("again.npz")["points"], points) == (seed == 0)
    output("generate", run, "-o", "points.PNG")
    picture("points.PNG")
    output("generate", digits, "-n", 10, "-o", "digits.png")
    assert picture("digits.png").size == size(3, 4)
    output("generate", digits, "-n", 10, "-o", "digits.npz")
    images = arrays_of("digits.npz")["images"]
    assert images.shape == (10, 1, 8, 8)
    assert 0 <= images.min() < images.max() <= 1


def test_reconstruct(trained, output, folder, nasty):
    digits = trained("digits/aim")
    output("reconstruct", digits, "0.png", "1.png", "2.png", "-o", "both.png")
    both = picture("both.png")
    assert both.size == size(6, 1)
    original = np.asarray(Image.open("0.png"))
    assert np.array_equal(np.asarray(both)[2:66:8, 2:66:8, 0], original)  # odd columns are the originals
    told = output("reconstruct", digits, "2.png", "0.png", "--draws", 4, "-o", "draws.npz")
    assert re.search(
        r"error of 2 inputs: \S+ of the mean code, (\S+) of the mean of 4 draws; the lower is that of", told
    )
    assert re.search(r"on the run's own test data: the mean image \S+, principal components \S+\n", told)
    output("reconstruct", digits, "2.png", "0.png", "-o", "both.npz")
    assert not np.array_equal(arrays_of("draws.npz")["reconstructions"], arrays_of("both.npz")["reconstructions"])
    arrays = arrays_of("both.npz")
    assert np.array_equal((arrays["images"][1, 0] * 255).round(), original)
    assert arrays["reconstructions"].shape == (2, 1, 8, 8)
    assert output("reconstruct", folder, "photos", "-o", "photos.png").count("skipped '") == len(nasty["broken"])
    output("reconstruct", trained("grid/aim"), "points.npy", "-o", "points.png")
    for name in ("photos.png", "points.png"):
        picture(name)


def test_reconstruct_by_optimisation_needs_no_encoder(trained, aimgan, output):
    gan = trained("grid/gan")
    refused = aimgan("reconstruct", gan, "points.npy", "-o", "no.npz")
    assert (refused.code, "--optimise" in refused.error) == (1, True)
    errors = []
    for steps in (0, 100):
        output("reconstruct", gan, "points.npy", "-o", "found.npz", "--optimise", steps)
        arrays = arrays_of("found.npz")
        errors.append(np.square(arrays["points"] - arrays["reconstructions"]).mean())
    assert errors[1] < errors[0]


def test_neighbours(trained, output):
    digits, grid = trained("digits/aim"), trained("grid/aim")
    output("neighbours", digits, "1.png", "-m", 4, "-o", "near.png")
    assert picture("near.png").size == size(5, 1)
    output("neighbours", digits, "1.png", "-m", 4, "-o", "near.npz")
    assert arrays_of("near.npz")["neighbours"].shape == (1, 4, 1, 8, 8)
    output("neighbours", grid, "a.npz", "-o", "near-points.npz")
    assert arrays_of("near-points.npz")["neighbours"].shape == (1, 8, 2)
    output("neighbours", grid, "a.npz", "-o", "near-points.png")
    picture("near-points.png")


def test_interpolate(trained, output):
    digits = trained("digits/aim")
    output("interpolate", digits, "0.png", "1.png", "--steps", 5, "-o", "line.png")
    assert picture("line.png").size == size(5, 1)
    output("interpolate", digits, "0.png", "1.png", "-o", "line.npz")
    output("reconstruct", digits, "0.png", "1.png", "-o", "ends.npz")
    line = arrays_of("line.npz")["interpolations"]
    assert line.shape == (1, 8, 1, 8, 8)
    assert np.allclose(line[0, [0, -1]], arrays_of("ends.npz")["reconstructions"], atol=1e-5)
    output("interpolate", trained("grid/aim"), "a.npz", "b.npz", "-o", "line-points.png")
    picture("line-points.png")


def test_encode(trained, output, folder, nasty):
    assert output("encode", folder, "photos", "-o", "codes.npz").count("skipped '") == len(nasty["broken"])
    codes = arrays_of("codes.npz")
    assert codes["mean"].shape == codes["log_variance"].shape == (nasty["good"], 64)
    assert len(set(codes["names"])) == nasty["good"]
    assert all(Path("photos", str(name)).is_file() for name in codes["names"])
    row = list(codes["names"]).index("0000.jpg")
    output("encode", folder, "photos/0000.jpg", "-o", "one.npz")
    assert np.allclose(arrays_of("one.npz")["mean"][0], codes["mean"][row], atol=1e-4)
    run = trained("grid/aim")
    output("encode", run, "points.npy", "-o", "points.npz")
    output("encode", f"{run}/model", "points.npy", "-o", "again.npz")
    assert list(arrays_of("points.npz")["names"][:2]) == ["points.npy:0", "points.npy:1"]
    assert np.array_equal(arrays_of("again.npz")["mean"], arrays_of("points.npz")["mean"])


# --- what there is ------------------------------------------------------------------------------------------------


def test_recipes_and_info(trained, output):
    recipes = output("recipes")
    assert all(name in recipes for name in library.RECIPES)
    assert max(map(len, recipes.splitlines())) <= 80
    info = output("info", trained("digits/aim"))
    for line in ("recipe: digits/aim", "steps: 20", "x: (1, 8, 8)", "codes: 8 dimensions", "parameters of G: "):
        assert line in info
    assert "reconstruction_mse: " in info
    assert "parameters of E" not in output("info", trained("grid/gan"))
    assert "reconstruction_mse" not in output("info", "runs/digits-aim/model")
