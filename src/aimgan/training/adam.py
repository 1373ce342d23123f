"""Adam (Kingma and Ba, 2014) by torch's fused kernel, for parameters whose gradients are handed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim.adam import adam

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@runtime_checkable
class Rule(Protocol):
    """How a parameter moves, given its gradient."""

    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], lr: float | Tensor) -> None:
        """Move the parameters, in place. `lr` as a tensor () is read when the parameters move: in a CUDA graph."""
        ...

    def state(self, parameter: Tensor) -> dict[str, Tensor]:
        """What the rule remembers of a parameter, by name: the tensors themselves, made when first asked for."""
        ...


@dataclass
class Adam:
    """Adam without weight decay. Its moments belong to each parameter, so how parameters are grouped changes nothing.

    All networks that move at once are one call of the kernel: three `torch.optim.Adam.step()` cost twice as much as
    that on the grid's networks, and take gradients from `.grad`, which nobody else here needs.
    """

    beta1: float = 0.5
    beta2: float = 0.999
    eps: float = 1e-8
    _moments: dict[Tensor, dict[str, Tensor]] = field(default_factory=dict)

    def state(self, parameter: Tensor) -> dict[str, Tensor]:
        """exp_avg, exp_avg_sq and step of a parameter."""
        if parameter not in self._moments:
            zeros = [torch.zeros_like(parameter, memory_format=torch.preserve_format) for _ in range(2)]
            step = torch.zeros((), dtype=torch.float32, device=parameter.device)
            self._moments[parameter] = dict(zip(MOMENTS, (*zeros, step), strict=True))
        return self._moments[parameter]

    @torch.no_grad()
    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], lr: float | Tensor) -> None:
        """Move the parameters down their gradients."""
        gradients = [_laid_out_as(p, gradient) for p, gradient in zip(parameters, gradients, strict=True)]
        states = [self.state(parameter) for parameter in parameters]
        first, second, steps = ([state[name] for state in states] for name in MOMENTS)
        adam(
            list(parameters), gradients, first, second, [], steps,
            fused=True, amsgrad=False, maximize=False, beta1=self.beta1, beta2=self.beta2, lr=lr, weight_decay=0.0,
            eps=self.eps,
        )  # fmt: skip


def _laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient with the parameter's strides: the fused kernel walks through memory, and autograd promises none."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
