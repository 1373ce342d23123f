"""Two data sets A and B without pairs, to be translated into each other; held-out pairs score it where they are known.

Training sees no pair: where B is made from A, their training samples are made from different ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from aimgan import noise
from aimgan.data.account import account
from aimgan.data.decoding import Form, Progress
from aimgan.data.digits import load_digits
from aimgan.data.image_data import ImageData, Split
from aimgan.data.image_set import ImageSet
from aimgan.data.images import Reader
from aimgan.data.mixtures import Mixture
from aimgan.data.own import PointSet, fingerprint
from aimgan.data.packed import Say
from aimgan.errors import AimganError

POINTS = 20_000  # training points, half of them for each domain
HELD_OUT = 1_000  # held-out pairs of points
CHANGES = ("invert", "rotate")

Domain = ImageSet | PointSet


@dataclass(frozen=True, eq=False)
class TwoDomains:
    """A, which gives the batches, and B, which p(z) draws from.

    `pairs` is whether held-out sample k of A belongs to sample k of B, and `classes` (n,) are those of these pairs.
    """

    first: Domain
    second: Domain
    pairs: bool = False
    classes: Int[Tensor, " n"] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a sample of A."""
        return self.first.shape

    @property
    def epoch_size(self) -> int:
        """The number of training samples of A."""
        return self.first.epoch_size

    @property
    def training_samples_of_b(self) -> Tensor:
        """All training samples of B, (m, *shape): images as bytes."""
        return self.second.images.train.pixels if isinstance(self.second, ImageSet) else self.second.train

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Tensor:
        """Return the batch of A of step 0, 1, ..., or rank's share of it."""
        return self.first.batch(seed, step, batch_size, rank, world)

    def chunks(self) -> Iterable[Tensor]:
        """Return the held-out samples of A, a thousand at a time."""
        return self.first.chunks()

    def test(self, n: int | None = None) -> Tensor:
        """Return the first n held-out samples of A."""
        return self.first.test(n)

    def account(self) -> dict[str, Any]:
        """Return what run.json keeps of the data; the fingerprint is of both."""
        a, b = (_account(domain) for domain in (self.first, self.second))
        checksum = fingerprint(a["fingerprint"], b["fingerprint"])
        shapes = [*self.first.shape, *self.second.shape]
        return {"samples": a["train"] + a["test"], "train": a["train"], "test": a["test"], "shape": shapes,
                "second": b["train"] + b["test"], "fingerprint": checksum}  # fmt: skip


def _account(domain: Domain) -> dict[str, Any]:
    return account(domain.images) if isinstance(domain, ImageSet) else domain.account()


@dataclass(frozen=True)
class PairedPoints:
    """Five modes at irregular places and of unequal weights, and the same turned by `angle` degrees."""

    angle: float = 60.0
    std: float = 0.1

    def load(self, progress: object = None, say: object = None) -> TwoDomains:
        """Return points of A and, made from other points, of B."""
        means = [(0.0, 0.0), (2.0, 0.5), (-1.0, 1.5), (0.5, -2.0), (-2.0, -1.0)]
        mixture = Mixture(means, self.std**2, [0.4, 0.25, 0.15, 0.12, 0.08])
        x = mixture.sample(POINTS, noise.generator(0, "paired points"))
        test, classes = mixture.labelled(HELD_OUT, noise.generator(0, "held-out paired points"))
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        turn = torch.tensor([[cos, sin], [-sin, cos]])
        half = POINTS // 2
        return TwoDomains(PointSet(x[:half], test), PointSet(x[half:] @ turn, test @ turn), True, classes)


@dataclass(frozen=True)
class PairedDigits:
    """The embedded digits, and other ones whose image is inverted (black for white) or turned by 90 degrees."""

    change: str = "invert"

    def load(self, progress: object = None, say: object = None) -> TwoDomains:
        """Return every second digit as A, and the others, changed, as B. Raises AimganError for an unknown change."""
        if self.change not in CHANGES:
            raise AimganError(f"data.change is {self.change}; expected {' or '.join(CHANGES)}")
        digits = load_digits()
        first = ImageData(_part(digits.train, 0), digits.test, (), f"{digits.source}, every second", by="")
        changed = [self._changed(split) for split in (_part(digits.train, 1), digits.test)]
        second = ImageData(changed[0], changed[1], (), f"{digits.source}, the others", by="")
        return TwoDomains(ImageSet(first), ImageSet(second), True, digits.test.labels)

    def _changed(self, split: Split) -> Split:
        pixels = 255 - split.pixels if self.change == "invert" else split.pixels.rot90(1, (2, 3))
        return Split(pixels.contiguous(), split.labels, split.names)


def _part(split: Split, begin: int) -> Split:
    labels = None if split.labels is None else split.labels[begin::2]
    return Split(split.pixels[begin::2], labels, split.names[begin::2])


@dataclass(frozen=True)
class PairedImages:
    """Two sources of images, A and B (data/images.py). Held-out images of one name in both are pairs."""

    path: str = ""
    path_b: str = ""
    size: int | None = None
    channels: int | None = None
    channels_b: int | None = None
    test_fraction: float = 0.1

    def load(self, progress: Progress | None = None, say: Say = lambda line: None) -> TwoDomains:
        """Decode both sources. Raises AimganError where one is missing or cannot be read."""
        if not self.path or not self.path_b:
            raise AimganError("this recipe needs two data sets: pass --data A and --data-b B")
        a, b = (
            Reader(path, Form(self.size, channels), self.test_fraction, None, progress, say).read()
            for path, channels in ((self.path, self.channels), (self.path_b, self.channels_b))
        )
        if a.shape[1:] != b.shape[1:]:
            raise AimganError(f"images of A are {a.shape} and of B {b.shape}; expected one size: pass --size")
        places = {name: k for k, name in enumerate(b.test.names)}
        shared = [k for k, name in enumerate(a.test.names) if name in places]
        if len(shared) < 2:
            return TwoDomains(ImageSet(a), ImageSet(b))
        say(f"{len(shared):,} held-out images have one name in both: as pairs they score the translation")
        a = _with_held_out(a, shared)
        b = _with_held_out(b, [places[name] for name in a.test.names])
        return TwoDomains(ImageSet(a), ImageSet(b), True, a.test.labels)


def _with_held_out(images: ImageData, rows: list[int]) -> ImageData:
    """Return the images with only these held-out ones."""
    test = images.test
    labels = None if test.labels is None else test.labels[rows]
    return replace(images, test=Split(test.pixels[rows], labels, [test.names[k] for k in rows]), known=None)
