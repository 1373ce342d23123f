"""A training step as one compiled program: recorded operation by operation, then compiled by torch's own compiler.

torch.compile does not follow the engine's Python in one piece: it stops at each gradient. So the step is recorded as it
runs (`make_fx`), both players' gradients, Adam and the averages in one graph, and the graph is compiled. As in a CUDA
graph, all values that differ from step to step are arguments: the batch, the draws, the learning rates, and the rate of
the averages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch._inductor
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from aimgan import noise
from aimgan.training.adam import StepSizes, as_tensor
from aimgan.training.graph import Body, Log, layout, listened


class CompiledStep:
    """Runs `body(x, source of draws, step sizes)` as one compiled program, for batches of x's shape.

    `state` are the tensors that the body changes. Its numbers differ from the body's by rounding, so every step of a
    run must be the program's: then one that is interrupted ends with the same bits. A batch of another shape runs
    eagerly. Raises what torch's compilers raise if the body cannot be recorded or compiled.
    """

    def __init__(self, body: Body, state: Iterable[Tensor], x: Tensor) -> None:
        self._body, self._layout = body, layout(x)
        self._state = list({id(tensor): tensor for tensor in state}.values())
        before = [tensor.detach().clone() for tensor in self._state]
        zero = as_tensor(0.0, x.device)
        source = noise.RankSource(torch.Generator(x.device).manual_seed(0))
        try:  # both of these take steps
            _, draws, rates = listened(body, x, source, StepSizes(lambda _: zero, zero))
            self._rates = sorted(rates)
            self._draws = [(tuple(draw.shape), draw.dtype) for draw in draws]
            numbers = [zero.clone() for _ in range(1 + len(rates))]
            given = [x, *numbers, *draws, *self._state]
            graph = make_fx(lambda *given: self._recorded(*given), decomposition_table=DECOMPOSED)(*given)
        finally:
            self._put_back(before)
        with torch.no_grad():
            self._program: Any = torch._inductor.compile(graph, given, OPTIONS)  # type: ignore[arg-type]

    def __call__(self, x: Tensor, source: noise.Source, sizes: StepSizes) -> Log:
        """Take a step, and return its losses and terms."""
        if layout(x) != self._layout:
            return self._body(x, source, sizes)
        draws = [source.normal(*shape, dtype=dtype) for shape, dtype in self._draws]
        rates = [number(sizes.rate(rate), x.device) for rate in self._rates]
        with torch.no_grad():
            values = self._program(x, number(sizes.share, x.device), *rates, *draws, *self._state)
        return dict(zip(self._terms, values, strict=True))

    def _recorded(self, x: Tensor, share: Tensor, *given: Tensor) -> list[Tensor]:
        """Take a step; given are what differs between steps, and the state, by which the recorder knows it."""
        rates = dict(zip(self._rates, given, strict=False))
        draws = given[len(rates) : len(rates) + len(self._draws)]
        log = self._body(x, noise.Replay(draws), StepSizes(rates.__getitem__, share))
        self._terms = list(log)
        return list(log.values())

    @torch.no_grad()
    def _put_back(self, before: Sequence[Tensor]) -> None:
        for tensor, value in zip(self._state, before, strict=True):
            tensor.copy_(value)


def number(value: float | Tensor, device: torch.device) -> Tensor:
    """Return a rate or share as the tensor () that the program takes."""
    return value if isinstance(value, Tensor) else as_tensor(value, device)


def fused_adam(parameters: list[Tensor], gradients: list[Tensor], *state: list[Tensor], **numbers: Any) -> None:
    """Adam as elementary operations, which a compiler merges with those around it; torch's kernel stays apart."""
    first, second, _, steps = state
    beta1, beta2 = numbers["beta1"], numbers["beta2"]
    for parameter, g, m, v, step in zip(parameters, gradients, first, second, steps, strict=True):
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        size = numbers["lr"].double() / (1 - beta1 ** step.double())
        root = (1 - beta2 ** step.double()).sqrt()
        parameter.sub_(m / (v.sqrt() / root.to(v.dtype) + numbers["eps"]) * size.to(m.dtype))


def lerp(averages: list[Tensor], weights: list[Tensor], shares: list[Tensor]) -> None:
    """Move each average towards its weight, as elementary operations for the same reason."""
    for average, weight, share in zip(averages, weights, shares, strict=True):
        average.lerp_(weight, share)


DECOMPOSED: dict[Any, Callable[..., None]] = {
    torch.ops.aten._fused_adam_.tensor_lr: fused_adam,
    torch.ops.aten._foreach_lerp_.List: lerp,
}
OPTIONS = {"size_asserts": False}  # the program is only called with tensors of one layout
