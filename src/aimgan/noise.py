"""Randomness as a function of (seed, step): every draw is made for the global batch and sliced by rank.

Nothing random is stored in a checkpoint: step 7 of seed 0 draws the same numbers whether it follows step 6 or a
restart, and n processes draw together what one process draws alone.

A seed has 63 bits here, of which torch's generator on the CPU uses the lower 32. Among n steps of one seed, about
n^2 / 2^33 pairs of steps therefore draw equal noise: 6.7 in 240,000 steps (seed 0 has 6). This is harmless, since the
data and the weights of the two steps differ, and it is left so that every committed number can be reproduced bit for
bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import SupportsIndex

import torch
from torch import Tensor

from aimgan.checked import integer, shown
from aimgan.errors import AimganError

_MASK = (1 << 64) - 1
_NEGATIVE = _MASK - 1  # stands before the absolute value of a negative integer; not UTF-8, so no label contains it


@dataclass(frozen=True)
class RankSource:
    """A source of draws: a generator, and this process's share of the global batch."""

    generator: torch.Generator
    rank: int = 0
    world: int = 1

    def normal(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Draw for all `world * n` rows and return this rank's n."""
        rows = torch.randn(self.world * n, *shape, generator=self.generator, device=self.generator.device, dtype=dtype)
        return rows[self.rank * n : (self.rank + 1) * n]


class Replay:
    """A source that returns given draws in their order, for steps that cannot draw (vectorised or in a CUDA graph)."""

    def __init__(self, draws: Iterable[Tensor]) -> None:
        self._draws = iter(draws)

    def normal(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return the next draw, which must have the shape (n, *shape)."""
        draw = next(self._draws)
        assert draw.shape == (n, *shape)
        return draw


@dataclass
class Listener:
    """Draws from `source` and records the draws, for a step that is repeated later with the same tensors."""

    source: RankSource
    draws: list[Tensor] = field(default_factory=list)

    def normal(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return the source's next draw (n, *shape)."""
        self.draws.append(self.source.normal(n, *shape, dtype=dtype))
        return self.draws[-1]


Source = RankSource | Replay | Listener
_STREAM: ContextVar[Source | None] = ContextVar("aimgan_noise_stream", default=None)


def mix(*numbers: SupportsIndex | str) -> int:
    """Hash integers and labels to 64 bits (splitmix64), so that nearby seeds give unrelated numbers.

    Different non-negative integers below 2^64 give different words; of larger ones only the lower 64 bits count. A
    negative integer is two words. A label is cut into words of eight bytes without its length, so ("evaluate", "x") and
    ("evaluatex",) are equal. A test checks that no two calls in this package are equal in this way; new labels must
    pass it, since the existing ones cannot change without changing all runs.

    Raises AimganError for a number that is not an integer.
    """
    state = 0
    for number in numbers:
        for word in _words(number):
            state = (state * 0x9E3779B97F4A7C15 + word + 1) & _MASK
            state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
            state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
            state ^= state >> 31
    return state


def _words(number: SupportsIndex | str) -> list[int]:
    """Return an integer or a label as words of 64 bits."""
    if isinstance(number, str):
        text = number.encode()
        return [int.from_bytes(text[i : i + 8], "little") for i in range(0, max(len(text), 1), 8)]
    value = number if type(number) is int else integer("a seed", number)
    if value < 0:
        return [_NEGATIVE, -value]
    return [value]


def generator(*numbers: SupportsIndex | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator seeded by these numbers and labels, for draws outside a training step."""
    return torch.Generator(device=device).manual_seed(mix(*numbers) >> 1)


def require_generator(generator: object) -> None:
    """Raise AimganError unless this is a torch.Generator or None."""
    if not isinstance(generator, torch.Generator | None):
        raise AimganError(f"generator is {shown(generator)}; expected a torch.Generator, or None")


def of_step(source: torch.Generator, seed: int, step: int) -> torch.Generator:
    """Seed a generator for the draws of a training step, and return it."""
    return source.manual_seed(mix(seed, "noise", step) >> 1)


@contextmanager
def instead(source: Source) -> Iterator[None]:
    """Let `normal` draw from `source` inside the block."""
    token = _STREAM.set(source)
    try:
        yield
    finally:
        _STREAM.reset(token)


def stream(source: torch.Generator, rank: int = 0, world: int = 1) -> AbstractContextManager[None]:
    """Let `normal` draw this rank's share of a batch of `world` processes from `source` inside the block."""
    return instead(RankSource(source, rank, world))


def normal(
    n: int,
    *shape: int,
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Draw (n, *shape) standard normal numbers from `generator`, else from the current stream, else from torch's own.

    A stream draws all `world * n` rows and returns this rank's n.
    """
    require_generator(generator)
    current = _STREAM.get()
    if generator is not None:
        made = torch.randn(n, *shape, generator=generator, device=generator.device, dtype=dtype)
    elif current is not None:
        made = current.normal(n, *shape, dtype=dtype)
    else:
        made = torch.randn(n, *shape, device=device, dtype=dtype)
    return made.to(device=device)


def uniform(
    n: int, *shape: int, generator: torch.Generator | None = None, device: torch.device | None = None
) -> Tensor:
    """Draw (n, *shape) numbers of float64 from 0 to 1, as `normal` does: Phi of them, since a stream has no others."""
    u = normal(n, *shape, generator=generator, device=device, dtype=torch.float64)
    return 0.5 * (1 + torch.erf(u / math.sqrt(2)))
