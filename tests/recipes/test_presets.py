from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import aimgan
from aimgan import noise
from aimgan.checked import integer, numbers, positive
from aimgan.errors import AimganError
from aimgan.networks import MLP, Residual, Table3, Table4
from aimgan.recipes.presets import PRESETS, with_preset
from aimgan.recipes.recipe import from_dict, to_dict
from aimgan.recipes.resolving import fitted, prepared


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
    refined = with_preset(aimgan.RECIPES["ring/aim"], "refined")
    assert refined.options == {"weighting": "none"}
    assert refined.networks == replace(aimgan.RECIPES["ring/aim"].networks, min_log_variance=-1.5)


def test_a_flag_is_stronger_than_the_preset():
    assert prepared("mnist/aim", settings={"epochs": "1"}, preset="cpu").epochs == 1
    assert prepared("mnist/aim", steps=7, preset="cpu").steps == 7


def test_what_there_is_no_preset_of_is_told():
    with pytest.raises(aimgan.AimganError, match="unknown preset 'cpus'; did you mean 'cpu'"):
        prepared("mnist/aim", preset="cpus")
    with pytest.raises(aimgan.AimganError, match="preset 'residual' is for aim and gan: ali has no option 'penalty'"):
        prepared("cifar10/ali", preset="residual")
    with pytest.raises(aimgan.AimganError, match="preset 'refined' is for aim: veegan has no option 'weighting'"):
        prepared("grid/veegan", preset="refined")
    with pytest.raises(
        aimgan.AimganError, match="preset 'cpu' is not available for grid/aim; expected a recipe of mnist"
    ):
        prepared("grid/aim", preset="cpu")


def test_numpys_numbers_in_settings_are_python_numbers(unchecked_shapes):
    plain = {"networks.dim": 5, "lr": 1e-3, "ema": 0.5, "channels_last": True, "weight": 2}
    kinds = (np.int32, np.float64, np.float32, np.bool_, np.int8)
    given = {name: kind(value) for (name, value), kind in zip(plain.items(), kinds, strict=True)}
    got = prepared("digits/aim", steps=np.uint16(7), settings=given)
    assert json.dumps(to_dict(got)) == json.dumps(to_dict(prepared("digits/aim", steps=7, settings=plain)))
    for name, wrong in (("steps", np.float64(2.0)), ("batch_size", np.bool_(True)), ("channels_last", np.int64(1)),
                        ("lr", np.float32("nan")), ("steps", np.uint64(2**63)), ("lr", np.bool_(True))):  # fmt: skip
        with pytest.raises(aimgan.AimganError, match=f"{name} is .*; expected"):
            prepared("digits/aim", settings={name: wrong})


def test_numpys_numbers_in_a_recipe_are_python_numbers(unchecked_shapes):
    digits = aimgan.RECIPES["digits/aim"]
    given, plain = (
        replace(digits, networks=MLP((one(1), one(8), one(8)), dim=one(3)), options={"weight": one(1)}, steps=one(9))
        for one in (np.int64, int)
    )
    assert json.dumps(to_dict(given)) == json.dumps(to_dict(plain))
    with pytest.raises(aimgan.AimganError, match=r"networks\.dim is 0; expected at least 1"):
        prepared("digits/aim", settings={"networks.dim": np.int64(0)})


def test_integers_of_any_kind_are_seeds_and_nothing_else_is():
    for kind in (np.int64, np.uint8, np.int16):
        assert noise.mix(kind(100), "weights", kind(3)) == noise.mix(100, "weights", 3)
        assert type(integer("k", kind(7))) is type(positive("k", kind(7))) is int
    assert noise.mix(np.int64(-3)) == noise.mix(-3)
    for wrong in (1.0, np.float32(1), True, np.bool_(True), "1", None):
        with pytest.raises(aimgan.AimganError, match=r"k is .*; expected an integer"):
            integer("k", wrong)
    with pytest.raises(aimgan.AimganError, match=r"k is 0; expected at least 1"):
        positive("k", np.int64(0))


def test_numpys_scores_count_among_the_numbers():
    scores = {
        "a": np.float64(0.5),
        "b": np.float32(0.25),
        "c": np.int64(3),
        "d": np.bool_(True),
        "e": np.float32("inf"),
    }
    assert json.dumps(numbers(scores)) == '{"a": 0.5, "b": 0.25, "c": 3}'


@pytest.mark.parametrize(
    ("recipe", "shape", "values"),
    [("folder/vae", (3, 64, 64), r"values in \[-1, 1\]"), ("grid/avb", (2,), "values without")],
)
def test_a_bernoulli_likelihood_needs_images_in_its_range(recipe, shape, values):
    made = prepared(recipe, settings={"likelihood": "bernoulli"})
    with pytest.raises(AimganError, match=rf"likelihood is bernoulli, but the networks of {recipe} have {values}"):
        fitted(made, SimpleNamespace(shape=shape, epoch_size=100))
    assert fitted(
        prepared("mnist/vae", settings={"likelihood": "bernoulli"}), SimpleNamespace(shape=(1, 28, 28), epoch_size=9)
    )


def test_a_setting_that_came_later_is_recorded_only_where_it_is_set():
    """So that runs which were begun before it was there go on."""
    plain = aimgan.RECIPES["grid/aim"]
    assert "compile" not in to_dict(plain)
    assert to_dict(replace(plain, compile=True))["compile"] is True
    assert from_dict(to_dict(replace(plain, compile=True))).compile
