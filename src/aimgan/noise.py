"""The one room for randomness: every draw is a function of (seed, step), made for the global batch and sliced by rank.

Nothing random is ever stored in a checkpoint: step 7 of seed 0 draws the same numbers whether it follows step 6 or a
restart, and n processes draw together what one process draws alone.

A seed has 63 bits here, of which torch's generator on the CPU uses the lower 32. Among n steps of one seed about
n^2 / 2^33 pairs are therefore expected to draw equal noise: 6.7 in 240,000 steps (seed 0 has 6). That is known, and
harmless: the data and the weights of the two steps differ. It is left as it is, so that every committed number can
still be run again bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain
from typing import SupportsIndex

import torch
from torch import Tensor

from aimgan.checked import integer, shown
from aimgan.errors import AimganError

_MASK = (1 << 64) - 1
_NEGATIVE = _MASK - 1  # the word before a negative integer's size; no text has it, for it is not UTF-8


@dataclass(frozen=True)
class Stream:
    """Where draws come from inside `stream`: one generator, and this process's share of the global batch."""

    generator: torch.Generator
    rank: int = 0
    world: int = 1

    def normal(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Draw for all `world * n` rows and return this rank's n."""
        rows = torch.randn(self.world * n, *shape, generator=self.generator, device=self.generator.device, dtype=dtype)
        return rows[self.rank * n : (self.rank + 1) * n]


class Replay:
    """Draws that were made before, handed out in their order (for runs that are vectorised, which cannot draw)."""

    def __init__(self, draws: Iterable[Tensor]) -> None:
        self._draws = iter(draws)

    def normal(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return the next draw, which must be (n, *shape)."""
        draw = next(self._draws)
        assert draw.shape == (n, *shape)
        return draw


class Recorder:
    """Notes the shapes that are asked for."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def normal(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return zeros (n, *shape)."""
        self.shapes.append((n, *shape))
        return torch.zeros(n, *shape, dtype=dtype)


class Listener:
    """Draws as `source` does, and keeps what was drawn (for a step that is to be repeated on tensors of its own)."""

    def __init__(self, source: Stream) -> None:
        self.source = source
        self.draws: list[Tensor] = []

    def normal(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return the source's next draw (n, *shape)."""
        self.draws.append(self.source.normal(n, *shape, dtype=dtype))
        return self.draws[-1]


Source = Stream | Replay | Recorder | Listener
_STREAM: ContextVar[Source | None] = ContextVar("aimgan_noise_stream", default=None)


def mix(*numbers: SupportsIndex | str) -> int:
    """Hash integers and labels to 64 bits (splitmix64), so that seeds that differ by one share nothing.

    Non-negative integers below 2^64 are told apart; of larger ones only the lower 64 bits count. A negative one is two
    words, and so is told apart from every one integer. Labels are
    joined without their lengths: ("evaluate", "x") and ("evaluatex",) are the same words, since the first label ends
    where a word of eight bytes does. A test holds that no two calls of this package agree in that way. A label that
    is added must keep to it: the bits of the labels that are there cannot change, as all runs depend on them.

    Raises AimganError for a number that is no integer.
    """
    state = 0
    for word in chain.from_iterable(map(_words, numbers)):
        state = (state * 0x9E3779B97F4A7C15 + word + 1) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def _words(number: SupportsIndex | str) -> list[int]:
    """An integer as it is; text as 64-bit words, all of them: labels that begin alike must not draw alike.

    A negative integer is its size, behind a word that says so.
    """
    if isinstance(number, str):
        text = number.encode()
        return [int.from_bytes(text[i : i + 8], "little") for i in range(0, max(len(text), 1), 8)]
    size = integer("a seed", number)
    return [size] if size >= 0 else [_NEGATIVE, -size]


def generator(*numbers: SupportsIndex | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator seeded by these numbers and labels, for draws outside a training step."""
    return torch.Generator(device=device).manual_seed(mix(*numbers) >> 1)


def require_generator(generator: object) -> None:
    """Raise AimganError for what is no torch.Generator, and not None either."""
    if not isinstance(generator, torch.Generator | None):
        raise AimganError(f"generator is {shown(generator)}; expected a torch.Generator, or None")


def of_step(source: torch.Generator, seed: int, step: int) -> torch.Generator:
    """Set a generator to where the draws of this training step begin, and return it."""
    return source.manual_seed(mix(seed, "noise", step) >> 1)


@contextmanager
def instead(source: Source) -> Iterator[None]:
    """Take draws from `source` inside the block."""
    token = _STREAM.set(source)
    try:
        yield
    finally:
        _STREAM.reset(token)


def stream(source: torch.Generator, rank: int = 0, world: int = 1) -> AbstractContextManager[None]:
    """Draw from `source` inside the block: `world` processes share each batch, this one takes slice `rank`."""
    return instead(Stream(source, rank, world))


def normal(
    n: int,
    *shape: int,
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Draw (n, *shape) standard normal numbers: from `generator`, else this step's stream, else torch's own generator.

    Inside a stream the draw is made for all `world * n` rows and this rank's n are returned.
    """
    require_generator(generator)
    current = _STREAM.get()
    if generator is not None or current is None:
        made_on = generator.device if generator is not None else device
        return torch.randn(n, *shape, generator=generator, device=made_on, dtype=dtype).to(device=device)
    return current.normal(n, *shape, dtype=dtype).to(device=device)
