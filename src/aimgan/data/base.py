"""What data are: batches that are functions of (seed, step), and sources that load them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Batches(Protocol):
    """What training needs of data: images in [0, 1], or points in their own units.

    A method `chunks()` that yields held-out samples (n, *shape) is optional: with it, reconstructions are scored.
    """

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
