"""Data that a caller has in memory: an array, a tensor, a list of images, a torch Dataset or DataLoader.

Images in memory are read like those of files: an array gives the pixels and the splits that the same array in a .npy
file would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from aimgan.data.arrays import Part, array_pixels, as_bytes, channels_first, listing_of
from aimgan.data.base import Batches
from aimgan.data.decode import EIGHT_BITS, Scale, UndecodableError, decode, quiet
from aimgan.data.decoding import Form, Progress
from aimgan.data.image_set import ImageSet, as_float
from aimgan.data.images import Reader
from aimgan.data.own import OwnBatches, PointSet
from aimgan.data.packed import Say
from aimgan.errors import AimganError, first_line

EXPECTED = (
    "expected a path, a numpy array, a torch tensor, Dataset or DataLoader, a list of PIL images, or data with the "
    "attributes of aimgan.data.Batches"
)
IMAGE_KEYS, LABEL_KEYS = ("image", "img"), ("label", "labels")  # of samples that are dictionaries


@dataclass(frozen=True, eq=False)
class Given:
    """Points (n, d) or images as they were given, the labels of the images (None without), and a description."""

    samples: np.ndarray | Sequence[np.ndarray | BytesIO]
    labels: Sequence[object]
    description: str

    @property
    def are_points(self) -> bool:
        """Whether the samples are points."""
        return isinstance(self.samples, np.ndarray) and self.samples.ndim == 2


@dataclass(frozen=True)
class InMemory:
    """Data in memory. run.json keeps their fingerprint, so another process must be given them again."""

    size: int | None = None
    channels: int | None = None
    test_fraction: float = 0.1
    given: Given | Batches | None = field(default=None, compare=False, repr=False)

    def load(self, progress: Progress | None = None, say: Say = lambda line: None) -> ImageSet | PointSet | OwnBatches:
        """Return the data as batches. Raises AimganError where they were not given in this process."""
        if self.given is None:
            raise AimganError(
                "these data were in memory, of which a run keeps only the fingerprint: give them again, as data=... in "
                "Python or --data PATH"
            )
        if not isinstance(self.given, Given):
            return OwnBatches(self.given)
        if isinstance(self.given.samples, np.ndarray) and self.given.are_points:
            return PointSet.of(torch.from_numpy(self.given.samples), self.test_fraction)
        listing = listing_of([Part(self.given.samples, self.given.labels, None)], [self.given.description])
        form = Form(self.size, self.channels)
        return ImageSet(Reader("data", form, self.test_fraction, False, progress, say, listing).read())


def in_memory(data: Any) -> Given | Batches:
    """Return what a caller has given as data: images (n, h, w), (n, c, h, w) or (n, h, w, c), or points (n, d).

    Images are uint8, or floats in [0, 1]; PIL images are of any mode and size. A Dataset or DataLoader gives samples,
    or tuples that begin with a sample and its label, or dictionaries with `image` and `label`. It is read once, in
    order. Raises AimganError for anything else.
    """
    if isinstance(data, Tensor | np.ndarray):
        array = _array(data)
        words = f"{array.dtype} {array.shape} from memory"
        if array.ndim == 2:
            return Given(_points(array), [], words)
        return Given(array_pixels(array, "data"), [None] * len(array), words)
    if isinstance(data, Batches):
        return data
    if isinstance(data, Dataset | DataLoader | list | tuple):
        return _given(_samples(data), type(data).__name__)
    raise AimganError(f"data is a {type(data).__name__}; {EXPECTED}")


def as_samples(x: Any, name: str, shape: tuple[int, ...], scale: Scale | None = None) -> Any:
    """Return arrays and PIL images as a tensor (n, *shape): images as floats in [0, 1], points in their own units.

    Images are one (h, w), or more as `in_memory` takes them; those of another size are scaled and cropped as files are.
    `scale` is what is black and white in PIL images of floats. Tensors, and what is none of these, stay as they are.
    """
    if isinstance(x, np.ndarray) and len(shape) == 1:
        return torch.from_numpy(_points(x, name))
    if isinstance(x, np.ndarray):
        if x.ndim == 2 or x.shape == shape:
            x = x[None]
        if x.ndim == 3 and shape[0] == 1 and x.shape[2] != 1:
            x = x[:, None]  # three grey images are not taken for one in colour
        images = x if x.shape[1:] == shape else channels_first(x, name)
        if images.shape[1:] == shape:
            images = images / np.float32(255) if images.dtype == np.uint8 else images
            return torch.from_numpy(np.ascontiguousarray(images, np.float32))
        x = [as_bytes(image) for image in array_pixels(x, name)]
    elif isinstance(x, Image.Image):
        x = [x]
    if not isinstance(x, list | tuple) or not all(isinstance(one, Image.Image | np.ndarray | Tensor) for one in x):
        return x
    found = [_sample(one, f"{name}[{k}]") for k, one in enumerate(x)]
    with quiet():
        try:
            pixels = [decode(partial(_itself, one), shape[-1], shape[0], scale or EIGHT_BITS) for one in found]
        except UndecodableError as reason:
            raise AimganError(f"{name} has an image that cannot be read ({reason}): leave it out") from None
    return as_float(torch.from_numpy(np.stack(pixels)))


def _itself(image: np.ndarray | BytesIO) -> np.ndarray | BytesIO:
    return image


def _given(samples: Iterable[tuple[Any, object]], kind: str) -> Given:
    """Collect samples, each of them checked, images as bytes."""
    found: list[np.ndarray | BytesIO] = []
    labels: list[object] = []
    for sample, label in samples:
        found.append(_sample(sample, f"data[{len(found)}]"))
        labels.append(label)
    if not found:
        raise AimganError(f"data is a {kind} without samples; {EXPECTED}")
    words = f"{len(found):,} samples of a {kind} from memory"
    points = [one for one in found if isinstance(one, np.ndarray) and one.ndim == 1]
    if not points:
        return Given(found, labels, words)
    if len(points) < len(found) or len({one.shape for one in points}) > 1:
        raise AimganError(f"data is a {kind} of samples of different shapes; expected points (d,) or images")
    return Given(_points(np.stack(points)), [], words)


def _samples(data: Any) -> Iterator[tuple[Any, object]]:
    """Yield samples with their labels (None without). A DataLoader that shuffles is read in the order of its data."""
    if isinstance(data, DataLoader):
        if isinstance(data.sampler, RandomSampler):
            data = DataLoader(data.dataset, data.batch_size, collate_fn=data.collate_fn, num_workers=data.num_workers)
        for batch in data:
            x, y = _divided(batch)
            labels = [None] * len(x) if y is None else _array(y).tolist()
            yield from zip(x, labels, strict=True)
    elif isinstance(data, Dataset) and hasattr(data, "__len__"):
        for k in range(len(data)):
            yield _divided(data[k])
    else:
        for sample in data:
            yield _divided(sample)


def _divided(item: Any) -> tuple[Any, Any]:
    """Return a sample, or a batch of them, and its label."""
    if isinstance(item, Mapping):
        image = next((item[key] for key in IMAGE_KEYS if key in item), None)
        return image, next((item[key] for key in LABEL_KEYS if key in item), None)
    if isinstance(item, tuple | list):
        x, *rest = item
        y = rest[0] if rest else None
        if isinstance(y, Tensor | np.generic) and y.ndim == 0:
            y = y.item()
        return x, y
    return item, None


def _sample(sample: Any, name: str) -> np.ndarray | BytesIO:
    """Return an image as uint8 (c, h, w) or a file in memory, or a point (d,)."""
    if isinstance(sample, Image.Image):
        return picture_file(sample, name)
    if not isinstance(sample, Tensor | np.ndarray):
        raise AimganError(f"{name} is a {type(sample).__name__}; expected an array, a tensor or a PIL image")
    array = _array(sample)
    if array.ndim == 1:
        return array
    if array.ndim == 2:
        array = array[None]
    return as_bytes(array_pixels(array[None], name)[0])


def picture_file(image: Image.Image, name: str) -> BytesIO:
    """Return a PIL image, turned upright, as a file in memory, which every mode is decoded from by the same rules."""
    file = BytesIO()
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("HSV", "La", "RGBa"):  # which no kind of file has
            image = image.convert("RGBA" if image.mode.endswith("a") else "RGB")
        image.save(file, "TIFF")
    except Exception as reason:  # Pillow raises nearly anything for an image of a damaged file
        raise AimganError(f"{name} is a PIL image that cannot be read ({first_line(reason)}): leave it out") from None
    file.seek(0)
    return file


def _array(data: Any) -> np.ndarray:
    """Return an array or a tensor as an array that numpy knows."""
    if isinstance(data, Tensor):
        if data.layout != torch.strided or data.is_meta or data.is_nested:
            raise AimganError(f"data is a tensor of layout {data.layout} on {data.device}; expected a dense tensor")
        data = data.detach().cpu()
        if data.is_floating_point():
            data = data.float()
        return data.numpy()
    return np.asarray(data)


def _points(array: np.ndarray, name: str = "data") -> np.ndarray:
    """Return points as float32. Raises AimganError for other than finite numbers."""
    if array.dtype.kind not in "fiu" or not array.size:
        raise AimganError(f"{name} is {array.dtype} {array.shape}; expected points (n, d), floats or integers")
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        points = np.array(array, np.float32)
    if not np.isfinite(points).all():
        raise AimganError(f"{name} has NaN or infinite values; expected points (n, d) of finite numbers")
    return points
