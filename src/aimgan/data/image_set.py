"""Images as training batches: kept as uint8, and converted to floats in [0, 1] one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from aimgan import noise
from aimgan.data.decoding import Form, Progress
from aimgan.data.digits import load_digits
from aimgan.data.image_data import ImageData
from aimgan.data.images import Reader
from aimgan.data.packed import Say
from aimgan.data.sampler import indices, order
from aimgan.devices import on_device
from aimgan.errors import AimganError

EVALUATED = 10_000  # held-out images of a pack that are scored


class ImageSet:
    """The two splits of a data set, with batches on one device."""

    def __init__(self, images: ImageData) -> None:
        self.images = images
        self._train, self._test = images.train.pixels, images.test.pixels
        self._device = self._train.device

    def __len__(self) -> int:
        """The number of images in both splits."""
        return self.epoch_size + len(self._test)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (c, h, w)."""
        return self.images.shape

    @property
    def epoch_size(self) -> int:
        """The number of training images."""
        return len(self._train)

    def to(self, device: torch.device) -> ImageSet:
        """Return batches on `device` from now on; the pixels are moved there too, unless they are packed."""
        self._device = device
        if self.images.packed is None:
            self._train, self._test = self._train.to(device), self._test.to(device)
        return self

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Float[Tensor, "b c h w"]:
        """Return the batch of a step, counted from 0, or one rank's share of it; the order is new in each epoch."""
        return self._float(self._train, indices(self.epoch_size, batch_size, seed, step, rank, world))

    def chunks(self, split: str = "test", n: int | None = None, size: int = 1_000) -> Iterator[Tensor]:
        """Yield the first n images of "train" or "test" (all without n) in the order of `places`, `size` at a time."""
        pixels = self._train if split == "train" else self._test
        for part in self.places(split)[:n].split(size):
            if len(part):
                yield self._float(pixels, part)

    def places(self, split: str) -> Int[Tensor, " n"]:
        """Return the order of a split in `chunks`: source order, or shuffled if sorted by class.

        Without shuffling, the first thousand images of a folder of classes would all have one class. EVALUATED of the
        held-out images of a pack are chosen at random, always the same ones.
        """
        images = self.images.train if split == "train" else self.images.test
        is_large = split == "test" and self.images.packed is not None and len(images) > EVALUATED
        is_by_class = images.labels is not None and len(images) > 1 and bool((images.labels.diff() >= 0).all())
        if not is_large and not is_by_class:
            return torch.arange(len(images))
        shuffled = order(len(images), noise.mix("chunks"), 0)
        return shuffled[:EVALUATED] if is_large else shuffled

    def test(self, n: int | None = None, seed: int = 0) -> Float[Tensor, "n c h w"]:
        """Return the first n test images (all without n); they do not depend on the seed."""
        return self._float(self._test, torch.arange(len(self._test))[:n])

    def _float(self, pixels: UInt8[Tensor, "m c h w"], rows: Int[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
        chosen = pixels[on_device(rows, pixels.device)]
        return as_float(on_device(chosen, self._device))


def as_float(pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Return 0..255 as [0, 1]."""
    return pixels.float() / 255


@dataclass(frozen=True)
class Images:
    """Any source of images: a folder, a zip, tar shards, arrays, parquet files, a Hub id (data/images.py).

    `black` and `white` are values of floats and 32-bit integers (by default the usual ones are found); `packed` says
    whether the pixels are packed on the disk (by default if they do not fit in half of the free memory).
    """

    path: str = ""
    size: int | None = None
    channels: int | None = None
    test_fraction: float = 0.1
    black: float | None = None
    white: float | None = None
    packed: bool | None = None

    def load(self, progress: Progress | None = None, say: Say = lambda line: None) -> ImageSet:
        """Decode the source. Raises AimganError if it cannot be read."""
        if not self.path:
            raise AimganError(
                "this recipe needs images: pass --data PATH (a folder, a zip, .tar, .npz, parquet, a Hub id)"
            )
        scale = None
        if self.black is not None and self.white is not None:
            scale = (self.black, self.white)
        elif self.black is not None or self.white is not None:
            raise AimganError(f"got black {self.black} and white {self.white}; expected both, or neither")
        form = Form(self.size, self.channels, scale)
        return ImageSet(Reader(self.path, form, self.test_fraction, self.packed, progress, say).read())


@dataclass(frozen=True)
class Stream(Images):
    """Reads run.json of old `stream/*` runs. `buffer` and `sample` have no effect."""

    size: int | None = 64
    channels: int | None = 3
    buffer: int = 10_000
    sample: int = 10_000


@dataclass(frozen=True)
class Digits:
    """The 1,797 digits of 8 x 8 pixels in scikit-learn: real images without a download."""

    def load(self, progress: Progress | None = None, say: Say = lambda line: None) -> ImageSet:
        """Return the digits."""
        return ImageSet(load_digits())
