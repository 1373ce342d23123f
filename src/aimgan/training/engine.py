"""The only place where an objective's parameters move, and where their gradients are taken.

Three gradients are taken elsewhere. Two are part of a loss and move nothing: that of a gradient penalty
(`objectives.terms`) and those of the unrolled GAN's inner steps. The third is that of the digit classifier, which
scores images and is no player of any objective (`evaluation.digit_classifier`). `training.ensemble` repeats the
engine's step for many runs side by side.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import fields, is_dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.objectives.base import Objective, Update, as_tuple
from aimgan.training.adam import Rule
from aimgan.training.graph import EagerWarning, Numbers, StaticStep, numbers
from aimgan.training.layout import batch_channels_last, to_channels_last

Updates = Update | tuple[Update, ...]


def players(objective: Objective) -> dict[str, nn.Module]:
    """Return the objective's networks by field name: those of its fields that have parameters."""
    assert is_dataclass(objective)
    values = {f.name: getattr(objective, f.name) for f in fields(objective)}
    return {name: value for name, value in values.items() if isinstance(value, nn.Module) and trainable(value)}


def trainable(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that training moves, by name. Frozen ones keep their values."""
    return {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}


def average_share(ema: float, step: int) -> float:
    """Return how far the averages move towards the weights: 1 - ema, and a plain mean's share in the first steps."""
    return max(1 - ema, 1 / (step + 1))


class Engine:
    """Runs an objective's steps: takes each update's gradients, averages them over processes, moves its networks.

    `rule` says how a parameter moves. Everything random is drawn from (seed, step), so that any step can be the first.
    With `ema` above zero, averages of all players' weights follow the training with that decay (less in the first
    steps, so that they do not remember the initial weights).

    `channels_last` puts weights and batches of images in torch's channels-last memory format: the same step, in another
    order of additions. `graph` makes the step one CUDA graph on a GPU (`StaticStep`), and is off with several
    processes; on a CPU it takes the same path without a graph, bit for bit the eager one.
    """

    def __init__(
        self,
        objective: Objective,
        rule: Rule,
        accelerator: Accelerator,
        seed: int = 0,
        ema: float = 0.0,
        channels_last: bool = False,
        graph: bool = False,
    ) -> None:
        self.objective, self.rule, self.accelerator, self.seed, self.ema = objective, rule, accelerator, seed, ema
        self.networks = players(objective)
        self._channels_last = channels_last
        if channels_last:
            to_channels_last(self.networks.values())
        self._names = {id(network): name for name, network in self.networks.items()}
        self._parameters = {name: trainable(network) for name, network in self.networks.items()}
        self._generator = torch.Generator(device=accelerator.device)
        self._averages = {name: deepcopy(network) for name, network in self.networks.items()} if ema else {}
        self._averaged = [p for network in self._averages.values() for p in trainable(network).values()]
        self._live = [p for name in self._averages for p in self._parameters[name].values()]
        self._mixed = accelerator.mixed_precision != "no"
        self._static = self._graph() if graph else None

    def _graph(self) -> StaticStep | None:
        if self.accelerator.num_processes > 1:
            warnings.warn("several processes: the training step is not one CUDA graph", EagerWarning, stacklevel=3)
            return None
        return StaticStep(self._body, self._stream, self._share, self.accelerator.device)

    @property
    def inference_networks(self) -> dict[str, nn.Module]:
        """The players to infer with: the averages where there are any, else the players themselves."""
        return self._averages or self.networks

    def step(self, x: Tensor, step: int, lr: float) -> dict[str, Tensor]:
        """Train on one batch (this process's share) and return the losses and their terms, detached, on the device."""
        x = batch_channels_last(x) if self._channels_last else x
        if self._static:
            return self._static(x, step, lr)
        return self._body(x, self._stream(step), numbers(lr, self._share(step), self.accelerator.device))

    def _stream(self, step: int) -> noise.Stream:
        source = noise.of_step(self._generator, self.seed, step)
        return noise.Stream(source, self.accelerator.process_index, self.accelerator.num_processes)

    def _share(self, step: int) -> float:
        return average_share(self.ema, step)

    def _body(self, x: Tensor, source: noise.Source, given: Numbers) -> dict[str, Tensor]:
        """Take a step whose batch, draws and numbers are given: what a CUDA graph repeats."""
        log: dict[str, Tensor] = {}
        with noise.instead(source):
            algorithm = iter(self.objective.step(x))
            while (updates := self._next(algorithm)) is not None:
                self._move(as_tuple(updates), given, log)
        if self._averages:
            self._average(given.share)
        return log

    def _next(self, algorithm: Iterator[Updates]) -> Updates | None:
        with self.accelerator.autocast() if self._mixed else nullcontext():
            return next(algorithm, None)

    def _move(self, updates: tuple[Update, ...], given: Numbers, log: dict[str, Tensor]) -> None:
        """Take all the gradients, then move all the networks: Algorithm 1's pair of updates is simultaneous."""
        owners = [[self._name(network) for network in update.networks] for update in updates]
        named = [name for names in owners for name in names]
        if len(named) != len(set(named)):
            raise AimganError(f"simultaneous updates name {named}: a network can be in one of them; add the losses")
        moves: dict[float, tuple[list[Tensor], list[Tensor]]] = {}  # by rate: as a rule there is one, and one kernel
        for k, (update, names) in enumerate(zip(updates, owners, strict=True)):
            parameters, gradients = moves.setdefault(update.rate, ([], []))
            parameters += [p for name in names for p in self._parameters[name].values()]
            gradients += self._gradients(update, names, retain_graph=k + 1 < len(updates))
            log["loss/" + "+".join(names)] = update.loss.detach()
            log.update(("+".join(names) + "/" + term, value.detach()) for term, value in update.terms.items())
        for rate, (parameters, gradients) in moves.items():
            self.rule.move(parameters, gradients, given.rate(rate))

    def _name(self, network: nn.Module) -> str:
        if id(network) not in self._names:
            raise AimganError(f"an update names a network that is no player; the players are {sorted(self.networks)}")
        return self._names[id(network)]

    def _gradients(self, update: Update, names: list[str], retain_graph: bool) -> list[Tensor]:
        parameters = [p for name in names for p in self._parameters[name].values()]
        grads: tuple[Tensor | None, ...] = (None,) * len(parameters)
        if update.loss.requires_grad:
            grads = torch.autograd.grad(update.loss, parameters, retain_graph=retain_graph, allow_unused=True)
        found = [gradient for gradient in grads if gradient is not None]
        if len(found) < len(grads):
            raise AimganError(self._unreached(names, grads))
        return self._mean_over_processes(found) if self.accelerator.num_processes > 1 else found

    def _unreached(self, names: list[str], grads: tuple[Tensor | None, ...]) -> str:
        labels = [f"{name}.{key}" for name in names for key in self._parameters[name]]
        missed = [label for label, gradient in zip(labels, grads, strict=True) if gradient is None]
        return (
            f"{type(self.objective).__name__}: an update moves {'+'.join(names)}, but its loss does not reach "
            f"{missed[0]}{f' and {len(missed) - 1} more' if len(missed) > 1 else ''}: "
            "name another network, or remove the layer that the loss does not use"
        )

    def _mean_over_processes(self, grads: list[Tensor]) -> list[Tensor]:
        """One flat all-reduce an update; DistributedDataParallel does not work with autograd.grad."""
        flat = torch.cat([gradient.reshape(-1) for gradient in grads])
        mean = self.accelerator.reduce(flat, reduction="mean")
        parts = mean.split([gradient.numel() for gradient in grads])
        return [part.view_as(gradient) for part, gradient in zip(parts, grads, strict=True)]

    @torch.no_grad()
    def _average(self, share: float | Tensor) -> None:
        """Move the averages towards the weights; buffers are copied."""
        if isinstance(share, Tensor):
            torch._foreach_lerp_(self._averaged, self._live, [share.to(p.dtype) for p in self._averaged])
        else:
            torch._foreach_lerp_(self._averaged, self._live, share)
        for name, average in self._averages.items():
            for own, live in zip(average.buffers(), self.networks[name].buffers(), strict=True):
                own.copy_(live)

    def state(self) -> dict[str, Tensor]:
        """Return everything that training moves, by name: parameters, buffers, averages, the rule's moments."""
        tensors = {
            f"{name}.{key}": value for name, module in self._modules() for key, value in module.state_dict().items()
        }
        return tensors | dict(self._rule_state())

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy a saved state into the allocated tensors; other names in it are passed over.

        Raises AimganError, with nothing copied, where one is missing or has another shape.
        """
        own = self.state()
        for name, value in own.items():
            saved = tensors.get(name)
            if saved is None or saved.shape != value.shape:
                got = "nothing" if saved is None else tuple(saved.shape)
                raise AimganError(f"checkpoint has {got} for {name}; expected {tuple(value.shape)}: another recipe?")
        for name, value in own.items():
            value.copy_(tensors[name])

    def statistics(self) -> set[str]:
        """Return the names in `state` of what forward passes move: of several processes on a CPU, each has its own."""
        return {f"{name}.{key}" for name, module in self._modules() for key, _ in module.named_buffers()}

    def _modules(self) -> list[tuple[str, nn.Module]]:
        return [*self.networks.items(), *((f"average.{name}", network) for name, network in self._averages.items())]

    def _rule_state(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameters in self._parameters.items():
            for key, parameter in parameters.items():
                for moment, value in self.rule.state(parameter).items():
                    yield f"moment.{name}.{key}.{moment}", value
