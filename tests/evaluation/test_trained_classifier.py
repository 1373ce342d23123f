from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from aimgan import noise
from aimgan.data import Images
from aimgan.data.digits import load_digits
from aimgan.errors import AimganError
from aimgan.evaluation import digit_classifier as digit_classifiers
from aimgan.evaluation.digit_classifier import (
    SETTINGS,
    SHIPPED,
    Settings,
    Trained,
    augmented,
    cache_path,
    classify,
    digit_classifier,
    train,
    write,
)
from aimgan.networks.digit_classifier import DigitClassifier

DIGITS = load_digits()
QUICK = Settings(epochs=0.3)
MNIST = Path(__file__).parents[3] / "shared/data/mnist"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))


def state(network):
    return network.state_dict().items()


def test_a_few_epochs_tell_the_embedded_digits_apart():
    trained = train(DIGITS, Settings(epochs=6, shift=0.5))
    assert trained.record["test_accuracy"] > 0.9
    assert trained.record["digits"] == {"train": 1375, "validation": 125, "test": 297}
    labels = classify(trained.network, DIGITS.test.pixels.float() / 255)
    right = float((labels == DIGITS.test.labels).double().mean())
    assert right == trained.record["test_accuracy"]


def test_training_is_a_function_of_the_settings():
    def weights(seed: int) -> dict:
        torch.manual_seed(torch.randint(100, ()).item())  # torch's own generator has no part in it
        return dict(state(train(DIGITS, replace(QUICK, seed=seed)).network))

    before = torch.get_rng_state()
    train(DIGITS, QUICK)
    assert torch.equal(torch.get_rng_state(), before)
    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.7.0.weight"], other["layers.7.0.weight"])


def test_a_trained_classifier_is_kept_and_found_again():
    said: list[str] = []
    first = digit_classifier(DIGITS, QUICK, say=said.append)
    path = cache_path(DIGITS, QUICK)
    assert said == [f"training a digit classifier (0.3 epochs), to be kept as {path}"]
    before = torch.get_rng_state()
    again = digit_classifier(DIGITS, QUICK, say=said.append)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(said) == 1
    assert again.record == first.record
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(state(first.network), state(again.network), strict=True))
    assert not again.network.training
    assert list(path.parent.iterdir()) == [path]
    (beside := path.with_name("new")).touch()
    assert path.stat().st_mode == beside.stat().st_mode


def test_a_shipped_classifier_comes_first_in_single_precision(monkeypatch, tmp_path):
    first = digit_classifier(DIGITS, QUICK, say=lambda text: None)
    monkeypatch.setattr(digit_classifiers, "SHIPPED", tmp_path / "shipped")
    name = cache_path(DIGITS, QUICK).name
    write(tmp_path / "shipped" / name, Trained(first.network.half(), {**first.record, "weights": "rounded"}))
    found = digit_classifier(DIGITS, QUICK, say=lambda text: pytest.fail(text))
    assert found.record["weights"] == "rounded"
    rounded = dict(state(first.network))
    assert all(torch.equal(value, rounded[name].to(value.dtype)) for name, value in state(found.network))
    assert next(found.network.parameters()).dtype == torch.float32


def test_the_classifier_of_mnist_is_shipped():
    (path,) = SHIPPED.glob("digit-classifier-*.safetensors")
    assert path.stat().st_size < 8 * 2**20
    with safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["record"])
        DigitClassifier().load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    assert record["settings"] == asdict(SETTINGS)
    assert record["test_accuracy"] > 0.99
    if MNIST.exists():
        assert cache_path(Images(str(MNIST), size=28, channels=1).load().images, SETTINGS).name == path.name


def test_training_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr(digit_classifiers, "TOLD", 2)
    said: list[str] = []
    train(DIGITS, QUICK, said.append)
    assert said == ["digit classifier: step 2 of 4", "digit classifier: step 4 of 4"]


def test_what_is_kept_torn_is_trained_again():
    said: list[str] = []
    path = cache_path(DIGITS, QUICK)
    for content in (b"", b"not a classifier", None):
        if content is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        digit_classifier(DIGITS, QUICK, say=said.append)
    assert len(said) == 2


def test_a_folder_that_cannot_be_written_only_costs_the_keeping(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "file" / "cache"))
    assert digit_classifier(DIGITS, QUICK, say=lambda text: None).record["settings"]["epochs"] == 0.3


def test_other_digits_labels_or_settings_are_another_classifier():
    other_labels = replace(DIGITS, train=replace(DIGITS.train, labels=DIGITS.train.labels.flip(0)))
    other_pixels = replace(DIGITS, train=replace(DIGITS.train, pixels=DIGITS.train.pixels.flip(0)))
    others = [cache_path(other_labels, QUICK), cache_path(other_pixels, QUICK), cache_path(DIGITS, SETTINGS)]
    assert len({cache_path(DIGITS, QUICK), *others}) == 4


def test_digits_without_labels_are_refused():
    with pytest.raises(AimganError, match="has no labels"):
        train(replace(DIGITS, train=replace(DIGITS.train, labels=None)), QUICK)


def centre_of(x: torch.Tensor) -> torch.Tensor:
    """Where the ink is, (n, 2): right and down of the centre, in pixels."""
    side = x.shape[-1]
    place = torch.arange(side) - (side - 1) / 2
    ink = x[:, 0] / x.sum((1, 2, 3))[:, None, None]
    return torch.stack([(ink.sum(1) * place).sum(1), (ink.sum(2) * place).sum(1)], dim=1)


def blob(right: int, down: int) -> torch.Tensor:
    """300 pictures of 29 x 29 with a square of ink there."""
    x = torch.zeros(300, 1, 29, 29)
    x[:, :, 13 + down : 16 + down, 13 + right : 16 + right] = 1
    return x


def test_augmentation_turns_and_shifts_within_its_limits():
    only = Settings(rotation=0, shift=2, untouched=0)
    moved = centre_of(augmented(blob(0, 0), only, noise.generator(0)))
    assert moved.abs().max() <= 2.001
    assert moved.abs().amax(0).min() > 1.9
    assert moved.mean(0).abs().max() < 0.2
    only = Settings(rotation=15, shift=0, untouched=0)
    turned = centre_of(augmented(blob(9, 0), only, noise.generator(0)))
    assert torch.allclose(turned.norm(dim=1), torch.tensor(9.0), atol=0.1)
    degrees = torch.rad2deg(torch.atan2(turned[:, 1], turned[:, 0]))
    assert 14 < degrees.abs().max() < 15.5
    assert degrees.mean().abs() < 1.5


def test_some_images_stay_as_they_are():
    x = torch.rand(300, 1, 12, 12)
    assert torch.equal(augmented(x, Settings(untouched=1), noise.generator(0)), x)
    same = (augmented(x, Settings(untouched=0.2), noise.generator(0)) == x).flatten(1).all(1)
    assert float(same.double().mean()) == pytest.approx(0.2, abs=0.07)
