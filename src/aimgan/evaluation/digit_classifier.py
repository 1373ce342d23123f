"""Training of the digit classifier (networks/digit_classifier.py), once for each set of digits; the result is cached.

MNIST's own comes with aimgan, in half precision (benchmarks/pretrained.py): it scores alike on every machine.

Li et al. (2017) train on 55,000 of MNIST's 60,000 images, with rotations of +-15 degrees and shifts. Other details are
those of the public TensorFlow code of that description: the first 5,000 are held out, shifts are at most two pixels,
and one image in five stays as it is. Augmentation is redrawn in each epoch.

This is the only training loop outside the engine: the classifier measures models and is not one of them.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from aimgan import noise
from aimgan.data.image_data import ImageData, Split
from aimgan.data.image_set import as_float
from aimgan.data.sampler import indices
from aimgan.errors import AimganError
from aimgan.files import cache_folder, replacing_file, save_tensors
from aimgan.networks.digit_classifier import DigitClassifier
from aimgan.training.environment import environment

FORMAT = 1  # of the file and the training: a new number makes earlier classifiers be trained again
SHIPPED = Path(__file__).parent  # of classifiers that come with aimgan, under the names that the cache would have
TOLD = 200  # steps of training from one line of progress to the next
HELD_OUT = 12  # one in so many training digits: 5,000 of 60,000


@dataclass(frozen=True)
class Settings:
    """The settings that a classifier depends on, besides its digits. The learning rate falls linearly to 0."""

    seed: int = 0
    epochs: float = 4.0
    batch_size: int = 100
    lr: float = 1e-3
    rotation: float = 15.0  # degrees, at most, either way
    shift: float = 2.0  # pixels, at most, either way
    untouched: float = 0.2  # share of images


class Trained(NamedTuple):
    """A classifier ready to use, and how it was made: settings, test accuracy, seconds, machine."""

    network: DigitClassifier
    record: dict[str, Any]


SETTINGS = Settings()


def digit_classifier(
    images: ImageData,
    settings: Settings | None = None,
    say: Callable[[str], None] = print,
) -> Trained:
    """Return the classifier of these digits: shipped, cached by an earlier call, or trained now (minutes) and cached.

    The cache is ~/.cache/aimgan, or the folder that AIMGAN_CACHE names. Raises AimganError for digits without labels.
    """
    settings = settings or SETTINGS
    path = cache_path(images, settings)
    for place in (SHIPPED / path.name, path):
        kept = _read(place, images)
        if kept is not None:
            return kept
    say(f"training a digit classifier ({settings.epochs:g} epochs), to be kept as {path}")
    trained = train(images, settings, say)
    with suppress(OSError):  # it can be used even if it cannot be cached
        write(path, trained)
    return trained


def train(images: ImageData, settings: Settings, say: Callable[[str], None] = lambda line: None) -> Trained:
    """Train a classifier. The result depends on the digits and the settings only."""
    began = time.perf_counter()
    pixels, labels = _labelled(images.train, images.source)
    held_out = len(pixels) // HELD_OUT
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise.mix(settings.seed, "digit classifier") >> 1)  # weights and dropout
        network = _fresh(images)
        _fit(network, pixels[held_out:], labels[held_out:], settings, say)
    network.eval().requires_grad_(False)
    record = {
        "settings": asdict(settings),
        "digits": {"train": len(pixels) - held_out, "validation": held_out, "test": len(images.test)},
        "validation_accuracy": accuracy(network, pixels[:held_out], labels[:held_out]),
        "test_accuracy": accuracy(network, *_labelled(images.test, images.source)),
        "seconds": round(time.perf_counter() - began, 1),
        "environment": environment(),
    }
    return Trained(network, record)


def _fresh(images: ImageData) -> DigitClassifier:
    """Make a network for these digits, laid out as convolutions on a CPU want it: a sixth faster."""
    network = DigitClassifier(images.shape[1])
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fit(
    network: DigitClassifier,
    pixels: UInt8[Tensor, "n 1 s s"],
    labels: Int[Tensor, " n"],
    settings: Settings,
    say: Callable[[str], None],
) -> None:
    batch_size = min(settings.batch_size, len(pixels))
    steps = max(1, round(settings.epochs * (len(pixels) // batch_size)))
    optimizer = torch.optim.Adam(network.parameters(), settings.lr, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    network.train()
    for step in range(steps):
        chosen = indices(len(pixels), batch_size, settings.seed, step)
        x = augmented(as_float(pixels[chosen]), settings, noise.generator(settings.seed, "augment", step))
        optimizer.zero_grad()
        F.cross_entropy(network(x), labels[chosen]).backward()
        optimizer.step()
        rate.step()
        if (step + 1) % TOLD == 0:
            say(f"digit classifier: step {step + 1:,} of {steps:,}")


def augmented(x: Float[Tensor, "n 1 s s"], settings: Settings, generator: torch.Generator) -> Float[Tensor, "n 1 s s"]:
    """Rotate and shift each image by random amounts, filling with black at the edges; some images stay as they are."""
    n, _, _, side = x.shape
    draws = 2 * torch.rand(n, 3, generator=generator) - 1
    moved = torch.rand(n, generator=generator) >= settings.untouched
    angle = math.radians(settings.rotation) * draws[:, 0]
    shift = 2 * settings.shift / side * draws[:, 1:]  # grid_sample's own units: the image is 2 wide
    cos, sin = angle.cos(), angle.sin()
    maps = torch.stack((cos, -sin, shift[:, 0], sin, cos, shift[:, 1]), dim=1).view(n, 2, 3)
    grid = F.affine_grid(maps, list(x.shape), align_corners=False)
    turned = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return torch.where(moved[:, None, None, None], turned, x)


@torch.no_grad()
def classify(network: DigitClassifier, x: Float[Tensor, "n 1 s s"]) -> Int[Tensor, " n"]:
    """Return the most probable class of each digit in [0, 1]."""
    parts = [network(part).argmax(1) for part in x.split(1_000)]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64)


def accuracy(network: DigitClassifier, pixels: UInt8[Tensor, "n 1 s s"], labels: Int[Tensor, " n"]) -> float | None:
    """Return the share of digits that are classified correctly; None if there are no digits."""
    return float((classify(network, as_float(pixels)) == labels).double().mean()) if len(pixels) else None


def _labelled(split: Split, source: str) -> tuple[UInt8[Tensor, "n 1 s s"], Int[Tensor, " n"]]:
    if split.labels is None and len(split):
        raise AimganError(f"{source!r} has no labels; expected digits with their classes, as in ylecun/mnist")
    return split.pixels, torch.zeros(0, dtype=torch.int64) if split.labels is None else split.labels


# --- cache --------------------------------------------------------------------------------------------------------


def cache_path(images: ImageData, settings: Settings) -> Path:
    """Return the path of the cached classifier of these digits and settings."""
    digest = hashlib.blake2b(json.dumps([FORMAT, images.shape, asdict(settings)]).encode(), digest_size=8)
    for tensor in (images.train.pixels, images.train.labels):
        if tensor is not None:
            digest.update(tensor.cpu().numpy().data)
    return cache_folder() / f"digit-classifier-{digest.hexdigest()}.safetensors"


def write(path: Path, trained: Trained) -> None:
    """Write weights and record as one file, replaced in one step; several processes may write it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as fresh:
        save_tensors(fresh, trained.network.state_dict(), {"record": json.dumps(trained.record)})


def _read(path: Path, images: ImageData) -> Trained | None:
    """Return the cached classifier; None if there is none or the file is damaged, so that it is trained again."""
    with torch.random.fork_rng(devices=[]):  # random weights are drawn, which must not move the caller's generator
        network = _fresh(images)
    try:
        with safe_open(path, "pt") as file:
            record = json.loads(file.metadata()["record"])
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError):
        return None
    network.eval().requires_grad_(False)
    return Trained(network, record)
