"""Data as batches that are functions of (seed, step). `DATA` lists the kinds of data that a recipe can name."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from aimgan.data.image_set import Digits, Images, ImageSet, Stream
from aimgan.data.mixtures import Grid, Mixture, Ring, Unbalanced
from aimgan.data.names import Skipped


@runtime_checkable
class Batches(Protocol):
    """What training and evaluation need of data: images in [0, 1], or points in their own units."""

    @property
    def shape(self) -> tuple[int, ...]:
        """One sample's shape."""
        ...

    @property
    def epoch_size(self) -> int:
        """How many samples make an epoch."""
        ...

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Tensor:
        """Return the batch of step 0, 1, ..., or rank's share of it."""
        ...


@runtime_checkable
class DataSource(Protocol):
    """A frozen dataclass that says which data to load."""

    def load(
        self, progress: Callable[[int, int], None] | None = None, say: Callable[[str], None] = lambda line: None
    ) -> Any:
        """Load the data as batches, with `progress(done, total)` while images are decoded and `say` for messages."""
        ...


DATA: dict[str, type] = {
    "grid": Grid,
    "ring": Ring,
    "unbalanced": Unbalanced,
    "digits": Digits,
    "images": Images,
    "stream": Stream,
}

__all__ = [
    "DATA",
    "Batches",
    "DataSource",
    "Digits",
    "Grid",
    "ImageSet",
    "Images",
    "Mixture",
    "Ring",
    "Skipped",
    "Stream",
    "Unbalanced",
]
