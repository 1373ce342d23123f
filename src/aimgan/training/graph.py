"""A training step as one CUDA graph: recorded once, then replayed without Python, dispatch or launches.

A graph repeats the same kernels on the same memory. So all that differs from step to step is copied into tensors that
stay where they are: the batch, the draws (made outside, from the same (seed, step) as ever), the learning rates and how
far the averages move. See "CUDA Graphs", whole-network capture, in torch's notes on CUDA semantics.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from aimgan import noise

Log = dict[str, Tensor]
WARM_UP = 3  # steps before the capture: libraries choose their kernels, and moments are allocated


class EagerWarning(UserWarning):
    """A step that was to be a graph runs eagerly."""


@dataclass(frozen=True)
class Numbers:
    """A step's numbers: the learning rate for an update's share of it, and how far the averages move."""

    rate: Callable[[float], float | Tensor]
    share: float | Tensor


def numbers(lr: float, share: float, device: torch.device) -> Numbers:
    """Return an eager step's numbers. On a GPU they are tensors there, so that a graph runs the same kernels."""
    if device.type == "cpu":
        return Numbers(lambda rate: lr * rate, share)
    return Numbers(lambda rate: _number(lr * rate, device), _number(share, device))


def _number(value: float, device: torch.device) -> Tensor:
    """A number on the device. Adam's kernel for GPUs reads a float32, its kernel for CPUs any."""
    return torch.full((), value, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)


Layout = tuple[tuple[int, ...], torch.dtype, tuple[int, ...]]


def layout(tensor: Tensor) -> Layout:
    """What of a tensor a graph depends on: shape, dtype, strides."""
    return tuple(tensor.shape), tensor.dtype, tensor.stride()


@runtime_checkable
class Capture(Protocol):
    """How work becomes a graph."""

    def warm_up(self) -> AbstractContextManager[None]:
        """Where the steps before the capture run."""
        ...

    def record(self, body: Callable[[], Log]) -> Callable[[], Log]:
        """Return what repeats `body`."""
        ...


class NoCapture:
    """What stands for a graph on a CPU: the body itself."""

    def warm_up(self) -> AbstractContextManager[None]:
        """Nowhere else."""
        return nullcontext()

    def record(self, body: Callable[[], Log]) -> Callable[[], Log]:
        """Return the body."""
        return body


class CudaCapture:
    """A CUDA graph, recorded on the side stream on which its first steps ran."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        """The side stream, which waits for the current one and is waited for."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    def record(self, body: Callable[[], Log]) -> Callable[[], Log]:
        """Record the body, which does not run meanwhile, and return what replays it. Raises RuntimeError from torch."""
        graph = torch.cuda.CUDAGraph()
        ours = torch.cuda.stream(torch.cuda.current_stream())  # a capture that fails leaves its own stream set
        with ours, torch.cuda.graph(graph, stream=self._stream):
            log = body()

        def replay() -> Log:
            graph.replay()
            return log

        return replay


@dataclass(frozen=True)
class Needs:
    """What a step was seen to ask for: the batch, its draws, the shares of the learning rate."""

    x: Layout
    draws: tuple[Layout, ...]
    rates: frozenset[float]


class StaticStep:
    """Runs steps as `body(x, source of draws, numbers)` does, first eagerly, then by replaying a graph of it.

    `stream(step)` gives a step's draws and `share(step)` how far its averages move. The first WARM_UP steps are real
    ones, eager; what they draw says which tensors the graph needs. A batch of another shape runs eagerly. Where the
    body cannot be recorded, because it waits for a value, or asks for other draws each time, `why` says so, a warning
    is given once, and all steps run eagerly. A body must depend on nothing else that changes from step to step.
    """

    def __init__(
        self,
        body: Callable[[Tensor, noise.Source, Numbers], Log],
        stream: Callable[[int], noise.Stream],
        share: Callable[[int], float],
        device: torch.device,
        capture: Capture | None = None,
    ) -> None:
        self._body, self._stream, self._share, self._device = body, stream, share, device
        self._capture = capture or (CudaCapture() if device.type == "cuda" else NoCapture())
        self._needs: Needs | None = None
        self._seen = 0
        self._replay: Callable[[], Log] | None = None
        self.why: str | None = None

    def __call__(self, x: Tensor, step: int, lr: float) -> Log:
        """Take the step and return its losses and terms, which are the caller's own."""
        if self.why or (self._needs and layout(x) != self._needs.x):
            return self._body(x, self._stream(step), self._numbers(step, lr))
        if self._seen < WARM_UP:
            return self._warm_up(x, step, lr)
        self._fill(x, step, lr)
        self._replay = self._replay or self._recorded()
        if self._replay is None:
            return self._body(x, self._stream(step), self._numbers(step, lr))
        return {name: value.clone() for name, value in self._replay().items()}  # the next replay overwrites them

    def _numbers(self, step: int, lr: float) -> Numbers:
        return numbers(lr, self._share(step), self._device)

    def _warm_up(self, x: Tensor, step: int, lr: float) -> Log:
        """Take a step eagerly, and note what it asks for."""
        listener, given, rates = noise.Listener(self._stream(step)), self._numbers(step, lr), set[float]()

        def noted(rate: float) -> float | Tensor:
            rates.add(rate)
            return given.rate(rate)

        with self._capture.warm_up():
            log = self._body(x, listener, Numbers(noted, given.share))
        needs = Needs(layout(x), tuple(map(layout, listener.draws)), frozenset(rates))
        if self._needs not in (None, needs):
            self._give_up("its steps ask for different draws")
        self._needs, self._seen = needs, self._seen + 1
        if self._seen == WARM_UP:
            self._allocate(x, listener.draws, needs)
        return log

    def _allocate(self, x: Tensor, draws: list[Tensor], needs: Needs) -> None:
        self._x, self._draws = torch.empty_like(x), [torch.empty_like(draw) for draw in draws]
        self._rates = {rate: _number(0.0, self._device) for rate in needs.rates}
        self._moved = _number(0.0, self._device)

    def _fill(self, x: Tensor, step: int, lr: float) -> None:
        """Copy what is this step's own into the tensors that the graph reads."""
        self._x.copy_(x, non_blocking=True)
        source = self._stream(step)
        for draw in self._draws:
            draw.copy_(source.normal(*draw.shape, dtype=draw.dtype))
        for rate, value in self._rates.items():
            value.fill_(lr * rate)
        self._moved.fill_(self._share(step))

    def _recorded(self) -> Callable[[], Log] | None:
        try:
            return self._capture.record(self._static_body)
        except (RuntimeError, KeyError, AssertionError) as reason:  # it waited, or asked for what no warm-up step did
            self._give_up(f"{type(reason).__name__}: {str(reason).splitlines()[0] if str(reason) else 'no reason'}")
            return None

    def _static_body(self) -> Log:
        return self._body(self._x, noise.Replay(self._draws), Numbers(self._rates.__getitem__, self._moved))

    def _give_up(self, why: str) -> None:
        self.why = why
        warnings.warn(f"the training step runs eagerly, not as one CUDA graph: {why}", EagerWarning, stacklevel=2)
