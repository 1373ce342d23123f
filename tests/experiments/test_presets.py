from __future__ import annotations

from dataclasses import replace

import pytest

import aimgan
from aimgan.experiments.presets import PRESETS, with_preset
from aimgan.experiments.training import prepared
from aimgan.networks import Residual, Table3, Table4


def test_the_papers_preset_is_the_recipe():
    for name, recipe in aimgan.RECIPES.items():
        if name.split("/")[0] in PRESETS["paper"]:
            assert with_preset(recipe, "paper") == recipe


def test_presets_are_the_same_networks_smaller_or_shorter():
    mnist, cifar10 = (with_preset(aimgan.RECIPES[name], "cpu") for name in ("mnist/ali", "cifar10/aim"))
    assert mnist.networks == Table3(width=256)
    assert mnist.epochs == 3
    assert cifar10.networks == Table4(shape=(3, 32, 32), width=256)
    assert cifar10.data.size == 32
    quick = with_preset(aimgan.RECIPES["celeba/aim"], "quick")
    assert quick == replace(aimgan.RECIPES["celeba/aim"], epochs=10)
    beyond = with_preset(aimgan.RECIPES["cifar10/gan"], "residual-cpu")
    assert beyond.networks == Residual()
    assert beyond.options == {"value": "relativistic", "penalty": 1.0}


def test_a_flag_is_stronger_than_the_preset():
    assert prepared("mnist/aim", settings={"epochs": "1"}, preset="cpu").epochs == 1
    assert prepared("mnist/aim", steps=7, preset="cpu").steps == 7


def test_what_there_is_no_preset_of_is_told():
    with pytest.raises(aimgan.AimganError, match="unknown preset 'cpus'; did you mean 'cpu'"):
        prepared("mnist/aim", preset="cpus")
    with pytest.raises(aimgan.AimganError, match="preset 'residual' is of aim and gan: ali has no option 'penalty'"):
        prepared("cifar10/ali", preset="residual")
    with pytest.raises(aimgan.AimganError, match="grid/aim has no preset 'cpu'; expected a recipe of mnist"):
        prepared("grid/aim", preset="cpu")
