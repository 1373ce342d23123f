"""A training step as one CUDA graph: recorded once, then replayed without Python, dispatch or kernel launches.

A graph repeats the same kernels on the same memory. So all values that differ from step to step are copied into fixed
tensors: the batch, the random draws (made outside the graph), the learning rates, and the rate of the averages.
See "CUDA Graphs" (whole-network capture) in torch's notes on CUDA semantics.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from aimgan import noise
from aimgan.errors import first_line
from aimgan.training.adam import StepSizes, as_tensor, step_sizes

Log = dict[str, Tensor]
Body = Callable[[Tensor, noise.Source, StepSizes], Log]
WARM_UP = 3  # eager steps before the capture, in which libraries choose their kernels and moments are allocated


class EagerWarning(UserWarning):
    """The training step cannot be one CUDA graph and runs eagerly."""


class Capture:
    """A substitute for a graph on a CPU: the warm-up does nothing special, and `record` returns the function itself."""

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        """Run the steps before the capture inside this block."""
        yield

    def record(self, body: Callable[[], Log]) -> Callable[[], Log]:
        """Return a function that repeats the body."""
        return body


class CudaCapture(Capture):
    """A CUDA graph, recorded on the side stream on which the steps before it ran."""

    def __init__(self) -> None:
        self._side = torch.cuda.Stream()

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        """Run the block on the side stream, synchronised with the current stream before and after."""
        current = torch.cuda.current_stream()
        self._side.wait_stream(current)
        with torch.cuda.stream(self._side):
            yield
        current.wait_stream(self._side)

    def record(self, body: Callable[[], Log]) -> Callable[[], Log]:
        """Record the body's kernels without running them, and return a function that replays them.

        Raises RuntimeError if the body cannot be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        current = torch.cuda.stream(torch.cuda.current_stream())  # a capture that fails leaves its own stream set
        with current, torch.cuda.graph(graph, stream=self._side):
            log = body()

        def replay() -> Log:
            graph.replay()
            return log

        return replay


def layout(tensor: Tensor) -> tuple[torch.Size, torch.dtype, tuple[int, ...]]:
    """Return the properties of a tensor on which a graph depends: shape, type and strides."""
    return tensor.shape, tensor.dtype, tensor.stride()


def listened(body: Body, x: Tensor, source: noise.RankSource, sizes: StepSizes) -> tuple[Log, list[Tensor], set[float]]:
    """Take a step, and return its log with what it asked for: the draws, and the updates' rates."""
    listener, rates = noise.Listener(source), set()

    def noted(rate: float) -> float | Tensor:
        rates.add(rate)
        return sizes.rate(rate)

    log = body(x, listener, StepSizes(noted, sizes.share))
    return log, listener.draws, rates


class StaticStep:
    """Runs `body(x, source of draws, step sizes)`: first eagerly, then as replays of a graph of it.

    `stream(step)` gives the draws of a step and `share(step)` the rate of its averages. The first WARM_UP steps are
    eager; they show which draws and learning rates a step asks for. A batch of another shape also runs eagerly. If the
    body cannot be recorded, because it synchronises with the CPU (such as `.item()`) or asks for different draws in
    each step, then there is one warning, `eager_reason` has the reason, and all steps run eagerly.
    """

    def __init__(
        self,
        body: Body,
        stream: Callable[[int], noise.RankSource],
        share: Callable[[int], float],
        device: torch.device,
        capture: Capture | None = None,
    ) -> None:
        self._body, self._stream, self._share, self._device = body, stream, share, device
        self._capture = capture or (CudaCapture() if device.type == "cuda" else Capture())
        self._needs: tuple | None = None  # the layouts of the batch and of the draws, and the updates' rates
        self._seen = 0  # warm-up steps
        self._replay: Callable[[], Log] | None = None
        self.eager_reason: str | None = None

    def __call__(self, x: Tensor, step: int, lr: float) -> Log:
        """Take a step; return losses and terms in tensors that later steps do not overwrite."""
        if self.eager_reason or (self._needs and layout(x) != self._needs[0]):
            return self._eager(x, step, lr)
        if self._seen < WARM_UP:
            return self._warm_up(x, step, lr)
        self._fill(x, step, lr)
        if self._replay is None:
            try:
                self._replay = self._capture.record(self._static_body)
            except (RuntimeError, KeyError, AssertionError) as reason:  # it synchronised, or asked for other draws
                self._give_up(f"{type(reason).__name__}: {first_line(reason)}")
                return self._eager(x, step, lr)
        return {name: value.clone() for name, value in self._replay().items()}

    def _eager(self, x: Tensor, step: int, lr: float) -> Log:
        return self._body(x, self._stream(step), step_sizes(lr, self._share(step), self._device))

    def _warm_up(self, x: Tensor, step: int, lr: float) -> Log:
        """Take a step eagerly, and note what it asks for."""
        source, sizes = self._stream(step), step_sizes(lr, self._share(step), self._device)
        with self._capture.warm_up():
            log, draws, rates = listened(self._body, x, source, sizes)
        needs = (layout(x), [layout(draw) for draw in draws], rates)
        if self._needs not in (None, needs):
            self._give_up("its steps ask for different draws")
        self._needs = needs
        self._seen += 1
        if self._seen == WARM_UP:
            self._x = torch.empty_like(x)
            self._draws = [torch.empty_like(draw) for draw in draws]
            self._rates = {rate: as_tensor(0.0, self._device) for rate in rates}
            self._moved = as_tensor(0.0, self._device)
        return log

    def _fill(self, x: Tensor, step: int, lr: float) -> None:
        """Copy what belongs to this step into the tensors that the graph reads."""
        self._x.copy_(x, non_blocking=True)
        source = self._stream(step)
        for draw in self._draws:
            draw.copy_(source.normal(*draw.shape, dtype=draw.dtype))
        for rate, value in self._rates.items():
            value.fill_(lr * rate)
        self._moved.fill_(self._share(step))

    def _static_body(self) -> Log:
        return self._body(self._x, noise.Replay(self._draws), StepSizes(self._rates.__getitem__, self._moved))

    def _give_up(self, reason: str) -> None:
        self.eager_reason = reason
        warnings.warn(f"the training step runs eagerly, not as one CUDA graph: {reason}", EagerWarning, stacklevel=2)
