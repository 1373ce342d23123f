"""What a folder of pictures is trained with where nothing is said about it."""

from __future__ import annotations

import pytest
from PIL import Image

from aimgan.networks import Table4
from aimgan.recipes.resolving import resolve


def test_on_a_cpu_the_sizes_are_small_and_the_time_is_ten_minutes():
    plan = resolve("folder/aim", None, {"data": "photos", "device": "cpu"})
    networks = plan.recipe.networks
    assert isinstance(networks, Table4)
    assert (networks.shape, networks.width, networks.dim) == ((3, 32, 32), 64, 64)
    assert (plan.recipe.lr, plan.recipe.refit, plan.minutes) == (1e-3, 0.5, 10.0)
    assert plan.output.as_posix() == "runs/folder-aim"
    assert "--preset paper" in plan.note


def test_what_is_said_is_kept():
    flags = {"data": "photos", "device": "cpu", "size": 128, "steps": 50, "settings": {"lr": 1e-4, "networks.dim": 8}}
    plan = resolve("folder/aim", "out", flags)
    assert (plan.recipe.networks.shape, plan.recipe.networks.width, plan.recipe.networks.dim) == ((3, 128, 128), 128, 8)
    assert (plan.recipe.lr, plan.recipe.steps, plan.minutes) == (1e-4, 50, None)
    assert resolve("folder/aim", None, {"device": "cpu", "settings": {"epochs": 3}}).minutes is None


@pytest.mark.parametrize(("modes", "channels"), [("L", 1), ("L1", 1), ("LP", 3), ("RGB", 3)])
def test_a_folder_of_grey_images_has_one_channel(tmp_path, modes, channels):
    for k in range(8):
        mode = "RGB" if modes == "RGB" else modes[k % len(modes)]
        Image.new("L", (8, 8), 30 * k).convert(mode).save(tmp_path / f"{k}.png")
    plan = resolve("folder/aim", None, {"data": str(tmp_path), "device": "cpu", "size": 8, "steps": 1})
    fitted = plan.fitted(plan.recipe.data.load(), None)
    assert fitted.recipe.networks.shape == (channels, 8, 8)


@pytest.mark.parametrize(
    ("recipe", "preset", "expected"),
    [("folder/vae", None, (64, None)), ("folder/aim", "paper", (256, None)), ("stream/aim-minus", None, (64, 0.5))],
)
def test_other_recipes_and_presets(recipe, preset, expected):
    plan = resolve(recipe, None, {"data": "photos", "device": "cpu", "preset": preset})
    assert (plan.recipe.networks.width, plan.recipe.refit) == expected


def test_other_data_sets_are_as_they_were():
    plan = resolve("mnist/aim", None, {"device": "cpu"})
    assert (plan.minutes, plan.note, plan.recipe.epochs, plan.recipe.refit) == (None, "", 400, None)
