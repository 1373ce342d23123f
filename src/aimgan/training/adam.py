"""Adam (Kingma and Ba, 2014) by torch's fused kernel, and the sizes of a step's moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim.adam import adam

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class StepSizes:
    """The learning rate of an update, by its `rate`, and the share by which the averages move towards the weights."""

    rate: Callable[[float], float | Tensor]
    share: float | Tensor


def step_sizes(lr: float, share: float, device: torch.device) -> StepSizes:
    """Return the sizes for an eager step. On a GPU they are tensors, as in a CUDA graph: both run the same kernel."""
    if device.type == "cpu":
        return StepSizes(lambda rate: lr * rate, share)
    return StepSizes(lambda rate: as_tensor(lr * rate, device), as_tensor(share, device))


def as_tensor(value: float, device: torch.device) -> Tensor:
    """Return a number as a tensor (): float64 on a CPU, float32 elsewhere, where Adam's kernel reads no other type."""
    dtype = torch.float64 if device.type == "cpu" else torch.float32
    return torch.full((), value, dtype=dtype, device=device)


@runtime_checkable
class Rule(Protocol):
    """How parameters move, given their gradients."""

    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], lr: float | Tensor) -> None:
        """Move the parameters in place. A CUDA graph reads `lr` as a tensor () whenever it is replayed."""
        ...

    def state(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return the tensors in which the rule keeps a parameter's moments, by name."""
        ...


@dataclass
class Adam:
    """Adam without weight decay. Each parameter has its own moments, so it does not matter which move together.

    One call of the kernel moves all networks of an update: on the grid's networks, three `torch.optim.Adam.step()`
    take twice as long, and they read gradients from `.grad`, which the engine does not fill.
    """

    beta1: float = 0.5
    beta2: float = 0.999
    eps: float = 1e-8
    _moments: dict[Tensor, dict[str, Tensor]] = field(default_factory=dict)

    def state(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return exp_avg, exp_avg_sq and step of a parameter, made at the first call."""
        if parameter not in self._moments:
            self._moments[parameter] = {
                "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            }
        return self._moments[parameter]

    @torch.no_grad()
    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], lr: float | Tensor) -> None:
        """Move the parameters down their gradients."""
        states = [self.state(parameter) for parameter in parameters]
        adam(
            list(parameters),
            [_laid_out_as(parameter, gradient) for parameter, gradient in zip(parameters, gradients, strict=True)],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=self.beta1,
            beta2=self.beta2,
            lr=lr,
            weight_decay=0.0,
            eps=self.eps,
        )


def _laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient with the parameter's strides: the fused kernel needs them equal."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
