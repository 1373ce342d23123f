"""Many runs of one objective in one process: the same steps, vectorised over the runs (torch.func.vmap).

Small networks leave a core waiting for dispatch; side by side they do not. A map of hundreds of short runs is made so.
Each member's step is `Engine.step` of that run: the same draws, gradients and moves, up to the order of additions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.objectives.base import Objective, as_tuple
from aimgan.training.adam import Adam
from aimgan.training.engine import average_share, players, trainable


class NotVectorised(AimganError):
    """An objective or a network whose runs can only be trained one by one."""


@dataclass(frozen=True)
class Member:
    """What one run leaves: its networks to infer with, and its objective."""

    objective: Objective
    inference_networks: Mapping[str, nn.Module]


class _Losses(nn.Module):
    """The losses of an objective's step as a module, so that its networks' weights can be exchanged in a call."""

    def __init__(self, objective: Any, networks: Mapping[str, nn.Module], numbers: Sequence[str]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        self.objective, self.numbers = objective, numbers

    def forward(self, x: Tensor, draws: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        for name, value in zip(self.numbers, values, strict=True):
            setattr(self.objective, name, value)
        with noise.instead(noise.Replay(draws)):
            updates = next(iter(self.objective.step(x)))
        return tuple(update.loss for update in as_tuple(updates))


class Ensemble:
    """Runs of one objective that differ in their weights, seeds, Adam's beta1, and `numbers` (its options that do).

    `objectives` are the runs, one each, as `assemble` makes them. All weights are one matrix, a row a run. Raises
    NotVectorised for an objective whose step has several parts (each run must see its moved networks), and for networks
    with buffers, such as batch norm's.
    """

    def __init__(
        self,
        objectives: Sequence[Any],
        seeds: Sequence[int],
        x: Tensor,
        beta1: Sequence[float],
        beta2: float = 0.999,
        ema: float = 0.0,
        numbers: Sequence[str] = (),
    ) -> None:
        self.seeds, self.ema = list(seeds), ema
        self._template = deepcopy(objectives[0])
        self._networks = players(self._template)
        if any(list(network.buffers()) for network in self._networks.values()):
            raise NotVectorised("an ensemble got networks with buffers (batch norm?); train such runs one by one")
        self._losses = _Losses(self._template, self._networks, numbers)
        self._shapes = {
            f"networks.{player}.{key}": p.shape
            for player, net in self._networks.items()
            for key, p in trainable(net).items()
        }
        self._weights = torch.stack([_flat(one) for one in objectives])
        kind = self._weights.dtype
        self._values = tuple(torch.tensor([getattr(one, name) for one in objectives], dtype=kind) for name in numbers)
        self._rows = list(self._weights)  # views: what the rule moves
        self._averages = self._weights.clone() if ema else self._weights
        self._drawn, self._owners = self._probe(x)
        self._generator = torch.Generator()
        self._rules = [Adam(value, beta2) for value in beta1]

    def _probe(self, x: Tensor) -> tuple[list[tuple[int, ...]], list[list[str]]]:
        """Take one step that moves nothing: return what it draws, and which networks each update moves."""
        if getattr(self._template, "penalty", 0):
            raise NotVectorised("a gradient penalty takes a gradient of its own, which vmap does not allow")
        recorder = noise.Recorder()
        names = {id(network): name for name, network in self._networks.items()}
        with noise.instead(recorder):
            yielded = list(self._template.step(x))
        if len(yielded) != 1:
            name = type(self._template).__name__
            raise NotVectorised(f"{name}'s step has {len(yielded)} parts; an ensemble needs one")
        updates = as_tuple(yielded[0])
        if any(update.rate != 1 for update in updates):
            raise NotVectorised(f"{type(self._template).__name__}'s players have learning rates of their own")
        return recorder.shapes, [[names[id(network)] for network in update.networks] for update in updates]

    def step(self, x: Tensor, step: int, rates: Sequence[float]) -> Tensor:
        """Train every run on its batch of x (runs, n, *shape) and return all losses (updates, runs), detached."""
        parameters = self._split(self._weights.detach().requires_grad_())
        draws = self._draws(step)
        losses = vmap(self._call)(parameters, x, draws, self._values)
        gradient = torch.cat([g.flatten(1) for g in self._gradients(losses, parameters)], dim=1)
        self._move(gradient, rates)
        if self.ema:
            self._averages.lerp_(self._weights, average_share(self.ema, step))
        return torch.stack([loss.detach() for loss in losses])

    def _call(
        self, parameters: dict[str, Tensor], x: Tensor, draws: tuple[Tensor, ...], values: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return functional_call(self._losses, parameters, (x, draws, values))

    def _draws(self, step: int) -> tuple[Tensor, ...]:
        """Draw what each run's own engine would draw in this step."""
        by_seed = {}
        for seed in dict.fromkeys(self.seeds):
            source = noise.of_step(self._generator, seed, step)
            by_seed[seed] = [torch.randn(*shape, generator=source, dtype=self._weights.dtype) for shape in self._drawn]
        return tuple(torch.stack([by_seed[seed][k] for seed in self.seeds]) for k in range(len(self._drawn)))

    def _gradients(self, losses: tuple[Tensor, ...], parameters: dict[str, Tensor]) -> list[Tensor]:
        """Return the gradients in the parameters' order. Runs are apart, so the sum's gradient is each one's."""
        found: dict[str, Tensor] = {}
        for k, (loss, owners) in enumerate(zip(losses, self._owners, strict=True)):
            own = {name: p for name, p in parameters.items() if name.split(".")[1] in owners}
            grads = torch.autograd.grad(loss.sum(), tuple(own.values()), retain_graph=k + 1 < len(losses))
            found.update(zip(own, grads, strict=True))
        return [found[name] for name in parameters]

    @torch.no_grad()
    def _move(self, gradient: Tensor, rates: Sequence[float]) -> None:
        for row, (rule, rate) in enumerate(zip(self._rules, rates, strict=True)):
            rule.move([self._rows[row]], [gradient[row]], rate)

    def _split(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name, (runs, *shape), as views of the matrix."""
        parts = flat.split([shape.numel() for shape in self._shapes.values()], dim=1)
        return {
            name: part.unflatten(1, shape) if shape else part.squeeze(1)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def member(self, k: int) -> Member:
        """Return run k, with copies of its networks (their averages, if there are any)."""
        made = deepcopy(self._networks)
        values = {name: value[k] for name, value in self._split(self._averages).items()}
        with torch.no_grad():
            for player, network in made.items():
                for key, parameter in trainable(network).items():
                    parameter.copy_(values[f"networks.{player}.{key}"])
        return Member(self._template, made)


def _flat(objective: Any) -> Tensor:
    return torch.cat([p.detach().flatten() for net in players(objective).values() for p in trainable(net).values()])
