"""Images as training batches: decoded once, held as uint8, made float in [0, 1] a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from aimgan import noise
from aimgan.data.digits import load_digits
from aimgan.data.images import ImageData, load_images
from aimgan.data.sampler import indices, order
from aimgan.errors import AimganError

Progress = Callable[[int, int], None]


@runtime_checkable
class Feed(Protocol):
    """Training batches that come from elsewhere than memory (data/streaming/feed.py)."""

    @property
    def size(self) -> int:
        """How many training images there are."""
        ...

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> UInt8[Tensor, "b c h w"]:
        """Return the batch of step 0, 1, ... (or rank's share of it)."""
        ...


class ImageSet:
    """The two splits of a source, on one device.

    With a `feed`, training batches come from it, and `images` are the sample of either split that evaluation sees.
    """

    def __init__(self, images: ImageData, feed: Feed | None = None) -> None:
        self.images, self._feed = images, feed
        self._train, self._test = images.train.pixels, images.test.pixels

    def __len__(self) -> int:
        """The number of images in both splits."""
        return self.epoch_size + len(self._test)

    @property
    def shape(self) -> tuple[int, ...]:
        """One image's (c, h, w)."""
        return self.images.shape

    @property
    def epoch_size(self) -> int:
        """How many training images there are."""
        return len(self._train) if self._feed is None else self._feed.size

    def to(self, device: torch.device) -> ImageSet:
        """Hold the pixels on `device`, where batches are made."""
        self._train, self._test = self._train.to(device), self._test.to(device)
        return self

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Float[Tensor, "b c h w"]:
        """Return the batch of step 0, 1, ... (or rank's share of it): every image once an epoch, in a new order."""
        if self._feed is not None:
            return as_float(self._feed.batch(seed, step, batch_size, rank, world).to(self._train.device))
        chosen = indices(self.epoch_size, batch_size, seed, step, rank, world)
        return as_float(self._train[chosen.to(self._train.device)])

    def chunks(self, split: str = "test", n: int | None = None, size: int = 1_000) -> Iterator[Tensor]:
        """Yield the first n images of "train" or "test" (all without n) as `places` has them, `size` at a time.

        So that a large data set is never float as a whole: that is four times its memory.
        """
        pixels, places = self._train if split == "train" else self._test, self.places(split)[:n]
        return (as_float(pixels[part.to(pixels.device)]) for part in places.split(size) if len(part))

    def places(self, split: str) -> Int[Tensor, " n"]:
        """Return the order of a split that `chunks` takes: the source's, mixed where that is class by class.

        The first thousand of a folder of classes would else be of one class, and parts of the data unlike the whole.
        """
        images = self.images.train if split == "train" else self.images.test
        by_class = images.labels is not None and len(images) > 1 and bool((images.labels.diff() >= 0).all())
        return order(len(images), noise.mix("chunks"), 0) if by_class else torch.arange(len(images))

    def test(self, n: int | None = None, seed: int = 0) -> Float[Tensor, "n c h w"]:
        """Return the first n test images (all without n); the seed changes nothing, since they are fixed."""
        return as_float(self._test[:n])


def as_float(pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Return 0..255 as [0, 1]."""
    return pixels.float() / 255


@dataclass(frozen=True)
class Images:
    """Any source of images: a folder, a zip, arrays, parquet files, a Hub id (data/images.py)."""

    path: str = ""
    size: int | None = None
    channels: int | None = None
    test_fraction: float = 0.1

    def load(self, progress: Progress | None = None) -> ImageSet:
        """Decode the source. Raises AimganError where there is nothing to decode."""
        if not self.path:
            raise AimganError("this recipe needs images: pass --data PATH (a folder, a zip, .npz, parquet, a Hub id)")
        return ImageSet(load_images(self.path, self.size, self.channels, self.test_fraction, progress))


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 digits of 8 x 8 pixels: real images that need no download."""

    def load(self, progress: Progress | None = None) -> ImageSet:
        """Return the digits."""
        return ImageSet(load_digits())
