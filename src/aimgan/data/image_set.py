"""Images as training batches: decoded once, held as uint8, made float in [0, 1] a batch at a time."""

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
from aimgan.data.images import Reader, Say
from aimgan.data.sampler import indices, order
from aimgan.errors import AimganError

EVALUATED = 10_000  # held-out images of a pack that scores are taken on


class ImageSet:
    """The two splits of a source, whose batches are on one device."""

    def __init__(self, images: ImageData) -> None:
        self.images = images
        self._train, self._test = images.train.pixels, images.test.pixels
        self._device = self._train.device

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
        return len(self._train)

    def to(self, device: torch.device) -> ImageSet:
        """Make batches on `device`, where the pixels are held too, unless they did not fit in memory."""
        self._device = device
        if self.images.packed is None:
            self._train, self._test = self._train.to(device), self._test.to(device)
        return self

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Float[Tensor, "b c h w"]:
        """Return the batch of step 0, 1, ... (or rank's share of it): every image once an epoch, in a new order."""
        return self._float(self._train, indices(self.epoch_size, batch_size, seed, step, rank, world))

    def chunks(self, split: str = "test", n: int | None = None, size: int = 1_000) -> Iterator[Tensor]:
        """Yield the first n images of "train" or "test" (all without n) as `places` has them, `size` at a time.

        So that a large data set is never float as a whole: that is four times its memory.
        """
        pixels, places = self._train if split == "train" else self._test, self.places(split)[:n]
        return (self._float(pixels, part) for part in places.split(size) if len(part))

    def places(self, split: str) -> Int[Tensor, " n"]:
        """Return the order of a split that `chunks` takes: the source's, mixed where that is class by class.

        The first thousand of a folder of classes would else be of one class, and parts of the data unlike the whole.
        Of held-out images that did not fit in memory it takes EVALUATED, from all over them: those that count where
        scores are taken.
        """
        images = self.images.train if split == "train" else self.images.test
        if split == "test" and self.images.packed is not None and len(images) > EVALUATED:
            return order(len(images), noise.mix("chunks"), 0)[:EVALUATED]
        by_class = images.labels is not None and len(images) > 1 and bool((images.labels.diff() >= 0).all())
        return order(len(images), noise.mix("chunks"), 0) if by_class else torch.arange(len(images))

    def test(self, n: int | None = None, seed: int = 0) -> Float[Tensor, "n c h w"]:
        """Return the first n test images (all without n); the seed changes nothing, since they are fixed."""
        return self._float(self._test, torch.arange(len(self._test))[:n])

    def _float(self, pixels: UInt8[Tensor, "m c h w"], rows: Int[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
        return as_float(pixels[rows.to(pixels.device)].to(self._device))


def as_float(pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Return 0..255 as [0, 1]."""
    return pixels.float() / 255


@dataclass(frozen=True)
class Images:
    """Any source of images: a folder, a zip, tar shards, arrays, parquet files, a Hub id (data/images.py).

    `black` and `white` are the values that floats and 32-bit integers have there (the usual ones are found), and
    `packed` says whether pixels are in memory or packed on the disk (where they do not fit in half of what is free).
    """

    path: str = ""
    size: int | None = None
    channels: int | None = None
    test_fraction: float = 0.1
    black: float | None = None
    white: float | None = None
    packed: bool | None = None

    def load(self, progress: Progress | None = None, say: Say = lambda line: None) -> ImageSet:
        """Decode the source. Raises AimganError where there is nothing to decode."""
        if not self.path:
            raise AimganError(
                "this recipe needs images: pass --data PATH (a folder, a zip, .tar, .npz, parquet, a Hub id)"
            )
        if (self.black is None) != (self.white is None):
            raise AimganError(f"got black {self.black} and white {self.white}; expected both, or neither")
        scale = None if self.black is None or self.white is None else (self.black, self.white)
        form = Form(self.size, self.channels, scale)
        return ImageSet(Reader(self.path, form, self.test_fraction, self.packed, progress, say).read())


@dataclass(frozen=True)
class Stream(Images):
    """What `stream/*` was before images were packed. `buffer` and `sample` are of runs from then: they do nothing."""

    size: int | None = 64
    channels: int | None = 3
    buffer: int = 10_000
    sample: int = 10_000


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 digits of 8 x 8 pixels: real images that need no download."""

    def load(self, progress: Progress | None = None, say: Say = lambda line: None) -> ImageSet:
        """Return the digits."""
        return ImageSet(load_digits())
