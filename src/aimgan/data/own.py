"""Data that are neither images of a source nor a mixture: points, and a caller's own batches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.data.names import held_out
from aimgan.data.sampler import indices
from aimgan.errors import AimganError

LOOKED_AT = 100  # samples of a caller's batches, before the first step
NO_HELD_OUT = "these data have no chunks() of held-out samples: reconstructions are not scored, and there is no verdict"


def fingerprint(*parts: object) -> str:
    """Return a checksum of tensors and texts."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(part.detach().cpu().contiguous().numpy().data)
        else:
            digest.update(str(part).encode())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class PointSet:
    """Samples of any shape in their own units, in two splits."""

    train: Float[Tensor, "n ..."]
    held_out: Float[Tensor, "m ..."]

    @classmethod
    def of(cls, points: Float[Tensor, "n ..."], test_fraction: float) -> PointSet:
        """Divide points as images without names are: by a hash of their numbers."""
        test = torch.from_numpy(held_out([f"point {k}" for k in range(len(points))], test_fraction))
        return cls(points[~test], points[test])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.train.shape[1:])

    @property
    def epoch_size(self) -> int:
        """The number of samples to train on."""
        return len(self.train)

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Tensor:
        """Return the batch of step 0, 1, ..., or rank's share of it."""
        return self.train[indices(self.epoch_size, batch_size, seed, step, rank, world)]

    def chunks(self) -> Sequence[Tensor]:
        """Return the held-out samples, a thousand at a time."""
        return [part for part in self.held_out.split(1_000) if len(part)]

    def test(self, n: int | None = None) -> Tensor:
        """Return the first n held-out samples."""
        return self.held_out[:n]

    def account(self) -> dict[str, Any]:
        """Return what run.json keeps of the data."""
        train, test = len(self.train), len(self.held_out)
        checksum = fingerprint(self.shape, self.train, self.held_out)
        return {"samples": train + test, "train": train, "test": test, "shape": [*self.shape], "fingerprint": checksum}


@dataclass(frozen=True, eq=False)
class OwnBatches:
    """A caller's batches, checked before the first step, with the held-out samples of its `chunks`, if it has any."""

    given: Any  # Batches, if it is what it should be

    def __post_init__(self) -> None:
        given = self.given
        missing = [name for name in ("shape", "epoch_size", "batch") if not hasattr(given, name)]
        if missing:
            raise AimganError(
                f"the data are a {type(given).__name__} without {', '.join(missing)}; expected shape, epoch_size and "
                "batch(seed, step, batch_size, rank, world): see aimgan.data.Batches"
            )
        _require_samples(self._first(), self.shape, "batch(0, 0, n)")
        chunk = next(iter(self.chunks()), None)
        if chunk is not None:
            _require_samples(chunk, self.shape, "chunks()")

    def _first(self) -> Tensor:
        return self.batch(0, 0, min(LOOKED_AT, self.epoch_size))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.given.shape)

    @property
    def epoch_size(self) -> int:
        """The number of samples that count as an epoch."""
        return self.given.epoch_size

    @property
    def has_held_out(self) -> bool:
        """Whether there are samples that training does not see."""
        return hasattr(self.given, "chunks")

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Tensor:
        """Return the batch of step 0, 1, ..., or rank's share of it."""
        return self.given.batch(seed, step, batch_size, rank, world)

    def chunks(self) -> Iterable[Tensor]:
        """Return the held-out samples in parts, if there are any."""
        return self.given.chunks() if hasattr(self.given, "chunks") else ()

    def test(self, n: int | None = None) -> Tensor:
        """Return the first n held-out samples."""
        return torch.cat([torch.empty(0, *self.shape), *_first(self.chunks(), n)])[:n]

    def account(self) -> dict[str, Any]:
        """Return what run.json keeps of the data; the fingerprint is of the first batch."""
        checksum = fingerprint(self.shape, self.epoch_size, self._first())
        return {"samples": self.epoch_size, "shape": [*self.shape], "fingerprint": checksum}


def _first(chunks: Iterable[Tensor], n: int | None) -> Iterator[Tensor]:
    count = 0
    for chunk in chunks:
        if n is not None and count >= n:
            return
        count += len(chunk)
        yield chunk.cpu()


def _require_samples(x: Any, shape: tuple[int, ...], what: str) -> None:
    """Raise AimganError unless x is a float tensor (n, *shape) of finite numbers, in [0, 1] for images."""
    expected = f"a float tensor (n, {', '.join(map(str, shape))})"
    if not isinstance(x, Tensor) or not x.is_floating_point() or tuple(x.shape[1:]) != shape:
        got = f"{x.dtype} {tuple(x.shape)}" if hasattr(x, "shape") else type(x).__name__
        raise AimganError(f"the data's {what} gives {got}; expected {expected}")
    low, high = float(x.min()), float(x.max())
    is_image = len(shape) == 3
    if not (math.isfinite(low) and math.isfinite(high)) or (is_image and not 0 <= low <= high <= 1):
        unit = "in [0, 1]" if is_image else "of finite numbers"
        raise AimganError(f"the data's {what} gives values from {low:g} to {high:g}; expected {expected} {unit}")
