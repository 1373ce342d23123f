"""Stacked MNIST: three random digits as the red, green and blue of one picture, 1,000 modes (Metz et al. 2017).

Mode (a, b, c) is the class of the digit in each channel, so a picture's mode is known, and a generated one's can be
found by a classifier of digits (evaluation/stacked.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from aimgan import noise
from aimgan.data.decoding import Form, Progress
from aimgan.data.image_data import ImageData
from aimgan.data.image_set import ImageSet, as_float
from aimgan.data.images import Reader, Say
from aimgan.data.sampler import indices, order
from aimgan.errors import AimganError

CHANNELS, CLASSES = 3, 10


class StackedSet(ImageSet):
    """Pictures made of three grey digits each, in the middle of a black square of `size` pixels to a side.

    In an epoch every digit comes once in each channel, in three orders that know nothing of each other, so the three
    classes are independent. `images` are the digits. Raises AimganError where they are not grey, do not fit, or are
    not of ten classes.
    """

    def __init__(self, images: ImageData, size: int) -> None:
        super().__init__(images)
        channels, self.side, _ = images.shape
        if channels != 1 or self.side > size:
            raise AimganError(f"got digits of {images.shape}; expected grey ones, at most {size} to a side")
        self.size, self.margin = size, (size - self.side) // 2
        self.frequencies = _frequencies(images)

    @property
    def shape(self) -> tuple[int, ...]:
        """One picture's shape."""
        return (CHANNELS, self.size, self.size)

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Float[Tensor, "b c h w"]:
        """Return the batch of step 0, 1, ... (or rank's share of it)."""
        seeds = [noise.mix(seed, "channel", channel) for channel in range(CHANNELS)]
        chosen = torch.stack([indices(self.epoch_size, batch_size, own, step, rank, world) for own in seeds], dim=1)
        return self._stacked(self._train, chosen)

    def test(self, n: int | None = None, seed: int = 0) -> Float[Tensor, "n c h w"]:
        """Return the first n test pictures (all without n), every test digit once in each channel: always the same."""
        return self._stacked(self._test, self._test_order()[:n])

    def chunks(self, split: str = "test", n: int | None = None, size: int = 1_000) -> Iterator[Tensor]:
        """Yield the first n test pictures, some at a time; training pictures are drawn, so they have no order."""
        assert split == "test"
        return (self._stacked(self._test, part) for part in self._test_order()[:n].split(size) if len(part))

    def test_labels(self) -> Int[Tensor, "n c"]:
        """Return the classes in the three channels of each test picture."""
        labels = self.images.test.labels
        assert labels is not None, "checked when the set was made"
        return labels[self._test_order()]

    def digits_of(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "m 1 s s"]:
        """Take pictures apart: (3 n, 1, side, side), a picture's three channels one after the other, no border."""
        inside = slice(self.margin, self.margin + self.side)
        return x[:, :, inside, inside].reshape(-1, 1, self.side, self.side)

    def _test_order(self) -> Int[Tensor, "n c"]:
        orders = [order(len(self.images.test), noise.mix("test channel", channel), 0) for channel in range(CHANNELS)]
        return torch.stack(orders, dim=1)

    def _stacked(self, digits: UInt8[Tensor, "m 1 s s"], chosen: Int[Tensor, "n c"]) -> Float[Tensor, "n c h w"]:
        pictures = digits[chosen.to(digits.device), 0].to(self._device)
        before, after = self.margin, self.size - self.side - self.margin
        return as_float(torch.nn.functional.pad(pictures, (before, after, before, after)))


def _frequencies(images: ImageData) -> Float[Tensor, "k"]:
    """Return the ten classes' frequencies among the training digits. Raises AimganError for other classes."""
    labels = [split.labels for split in (images.train, images.test) if len(split)]
    if any(own is None or int(own.min()) < 0 or int(own.max()) >= CLASSES for own in labels):
        raise AimganError(f"{images.source!r} has no labels from 0 to {CLASSES - 1}, which tell the modes of a stack")
    counts = labels[0].bincount(minlength=CLASSES)  # type: ignore[union-attr]
    if not bool((counts > 0).all()):
        missing = ", ".join(map(str, (counts == 0).nonzero().flatten().tolist()))
        raise AimganError(f"{images.source!r} has no training digit of class {missing}; expected all {CLASSES} classes")
    return counts.double() / counts.sum()


@dataclass(frozen=True)
class Stacked:
    """Three digits of a labelled source (as `Images`: parquet, arrays, a folder, a Hub id) as the channels of one.

    A digit takes the middle 7/8 of `size`: at 32, MNIST's 28 x 28 pixels are kept as they are, with a black border of
    two, since the networks of Table 4 want a power of two.
    """

    path: str = "ylecun/mnist"
    size: int = 32
    test_fraction: float = 0.1

    def load(self, progress: Progress | None = None, say: Say = lambda line: None) -> StackedSet:
        """Decode the digits. Raises AimganError where there are none, or where they are not labelled 0 to 9."""
        form = Form(self.size * 7 // 8, 1)
        return StackedSet(Reader(self.path, form, self.test_fraction, progress=progress, say=say).read(), self.size)
