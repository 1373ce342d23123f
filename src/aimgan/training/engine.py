"""The engine computes the gradients of an objective's losses and updates its networks; nothing else updates them.

Three gradients are computed elsewhere. Those of a gradient penalty (`objectives.terms`) and of the unrolled GAN's inner
steps are part of a loss. The digit classifier (`evaluation.digit_classifier`) belongs to no objective.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import fields, is_dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from aimgan import noise
from aimgan.errors import AimganError, first_line
from aimgan.objectives.base import Objective, Update, as_tuple
from aimgan.training.adam import Rule, StepSizes, step_sizes
from aimgan.training.compiled import CompiledStep
from aimgan.training.graph import StaticStep


def players(objective: Objective) -> dict[str, nn.Module]:
    """Return the objective's networks by field name: the modules among its fields that have trainable parameters."""
    assert is_dataclass(objective)
    found = {}
    for f in fields(objective):
        value = getattr(objective, f.name)
        if isinstance(value, nn.Module) and trainable(value):
            found[f.name] = value
    return found


def trainable(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that are trained, by name, without the frozen ones."""
    return {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}


def memories(objective: Objective) -> dict[str, nn.Module]:
    """Return the modules among an objective's fields that have no parameters but a state, such as an image pool."""
    found = {}
    for f in fields(objective):  # type: ignore[arg-type]
        value = getattr(objective, f.name)
        if isinstance(value, nn.Module) and not any(True for _ in value.parameters()) and value.state_dict():
            found[f.name] = value
    return found


class Engine:
    """Runs an objective's steps: it computes each update's gradients, averages them over processes, and applies them.

    `rule` updates parameters. All random numbers of a step depend on (seed, step) only, so a run can go on at any step.
    If `ema` is above zero, the engine keeps exponential moving averages of all weights with that decay (and with a
    smaller one in the first steps, so that the initial weights are forgotten). `channels_last` keeps weights and images
    in torch's channels-last memory format, which only changes the order of additions.
    """

    def __init__(
        self,
        objective: Objective,
        rule: Rule,
        accelerator: Accelerator,
        seed: int = 0,
        ema: float = 0.0,
        channels_last: bool = False,
    ) -> None:
        self.objective, self.rule, self.accelerator = objective, rule, accelerator
        self.seed, self.ema, self._channels_last = seed, ema, channels_last
        self.networks = players(objective)
        if channels_last:
            for network in self.networks.values():
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs
        self._names = {id(network): name for name, network in self.networks.items()}
        self._parameters = {name: trainable(network) for name, network in self.networks.items()}
        self._averages: dict[str, nn.Module] = {}
        self._ema_weights: list[Tensor] = []  # all averages in one list, for torch's foreach functions
        self._weights: list[Tensor] = []  # the weights that they average, in the same order
        if ema:
            for name, network in self.networks.items():
                self._averages[name] = deepcopy(network)
                self._ema_weights += trainable(self._averages[name]).values()
                self._weights += self._parameters[name].values()
        self._generator = torch.Generator(device=accelerator.device)
        self._compiled: CompiledStep | None = None
        self._static: StaticStep | None = None

    def compile(self, x: Tensor) -> None:
        """Make each step from now on, on batches like x, one compiled program (`CompiledStep`).

        It takes half a minute to some minutes. Raises AimganError if there are several processes or the step cannot be
        compiled; then nothing has changed.
        """
        if self.accelerator.num_processes > 1:
            raise AimganError("compile is true, and there are several processes; expected one: leave compile out")
        engine = weakref.proxy(self)  # as in use_graph
        body = lambda x, source, sizes: engine._run_step(x, source, sizes)  # noqa: E731
        try:
            self._compiled = CompiledStep(body, dict(self._tensors()).values(), self._laid_out(x))
        except Exception as reason:  # torch's compilers raise errors of many kinds
            raise AimganError(
                f"the step cannot be compiled ({type(reason).__name__}: {first_line(reason)})"
            ) from reason

    def use_graph(self) -> None:
        """Make each step from now on a replay of one CUDA graph (`StaticStep`); with one process only.

        On a CPU the steps take the same path without a graph, with the same bits as eager ones.
        """
        assert self.accelerator.num_processes == 1
        engine = weakref.proxy(self)  # in a reference cycle the graph's memory would outlive the engine
        self._static = StaticStep(
            lambda x, source, sizes: engine._body(x, source, sizes),
            lambda step: engine._stream(step),
            lambda step: engine._ema_rate(step),
            self.accelerator.device,
        )

    @property
    def inference_networks(self) -> dict[str, nn.Module]:
        """The networks to infer with: the averages if there are any, else the players themselves."""
        return self._averages or self.networks

    def step(self, x: Tensor, step: int, lr: float) -> dict[str, Tensor]:
        """Train on this process's share of a batch; return losses and terms, detached, () each, on the device."""
        x = self._laid_out(x)
        if self._static:
            return self._static(x, step, lr)
        return self._body(x, self._stream(step), step_sizes(lr, self._ema_rate(step), self.accelerator.device))

    def _laid_out(self, x: Tensor) -> Tensor:
        if self._channels_last and x.dim() == 4:
            return x.contiguous(memory_format=torch.channels_last)
        return x

    def _body(self, x: Tensor, source: noise.Source, sizes: StepSizes) -> dict[str, Tensor]:
        return (self._compiled or self._run_step)(x, source, sizes)

    def _stream(self, step: int) -> noise.RankSource:
        source = noise.of_step(self._generator, self.seed, step)
        return noise.RankSource(source, self.accelerator.process_index, self.accelerator.num_processes)

    def _ema_rate(self, step: int) -> float:
        """Return the weight of the new values in the averages: 1 - decay, or 1/(step+1) at the start."""
        return max(1 - self.ema, 1 / (step + 1))

    def _run_step(self, x: Tensor, source: noise.Source, sizes: StepSizes) -> dict[str, Tensor]:
        """Take a step. Only its arguments differ between steps, so that a CUDA graph can repeat it."""
        log: dict[str, Tensor] = {}
        mixed = self.accelerator.mixed_precision != "no"
        with noise.instead(source):
            algorithm = iter(self.objective.step(x))
            while True:
                with self.accelerator.autocast() if mixed else nullcontext():
                    updates = next(algorithm, None)
                if updates is None:
                    break
                self._move(as_tuple(updates), sizes, log)
        if self._averages:
            self._average(sizes.share)
        return log

    def _move(self, updates: tuple[Update, ...], sizes: StepSizes, log: dict[str, Tensor]) -> None:
        """Compute the gradients of simultaneous updates, then update their networks."""
        moved: list[str] = []
        by_rate: dict[float, tuple[list[Tensor], list[Tensor]]] = {}  # usually there is one rate, hence one kernel
        for k, update in enumerate(updates, start=1):
            names = [self._name(network) for network in update.networks]
            moved += names
            parameters, gradients = by_rate.setdefault(update.rate, ([], []))
            for name in names:
                parameters += self._parameters[name].values()
            gradients += self._gradients(update, names, retain_graph=k < len(updates))
            player = "+".join(names)
            log[f"loss/{player}"] = update.loss.detach()
            for term, value in update.terms.items():
                log[f"{player}/{term}"] = value.detach()
        if len(moved) != len(set(moved)):
            raise AimganError(
                f"simultaneous updates name {moved}: each network can be in one update only; add its losses"
            )
        for rate, (parameters, gradients) in by_rate.items():
            self.rule.move(parameters, gradients, sizes.rate(rate))
        for update in updates:
            if update.clip is not None:
                self._clip(update, update.clip)

    @torch.no_grad()
    def _clip(self, update: Update, bound: float) -> None:
        """Set each parameter that an update has moved to the nearest value in [-bound, bound]."""
        for network in update.networks:
            for parameter in self._parameters[self._name(network)].values():
                parameter.clamp_(-bound, bound)

    def _name(self, network: nn.Module) -> str:
        if id(network) not in self._names:
            raise AimganError(f"an update names a network that is not one of the players: {sorted(self.networks)}")
        return self._names[id(network)]

    def _gradients(self, update: Update, names: list[str], retain_graph: bool) -> list[Tensor]:
        parameters: dict[str, Tensor] = {}
        for name in names:
            for key, parameter in self._parameters[name].items():
                parameters[f"{name}.{key}"] = parameter
        found: tuple[Tensor | None, ...] = (None,) * len(parameters)
        if update.loss.requires_grad:
            found = torch.autograd.grad(
                update.loss, list(parameters.values()), retain_graph=retain_graph, allow_unused=True
            )
        missing = [name for name, gradient in zip(parameters, found, strict=True) if gradient is None]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise AimganError(
                f"{type(self.objective).__name__}: an update trains {'+'.join(names)}, but its loss does not depend on "
                f"{missing[0]}{more}: name another network, or remove the layer that the loss does not use"
            )
        gradients = [gradient for gradient in found if gradient is not None]
        if self.accelerator.num_processes == 1:
            return gradients
        return self._mean_over_processes(gradients)

    def _mean_over_processes(self, gradients: list[Tensor]) -> list[Tensor]:
        """Average gradients with one all-reduce. (DistributedDataParallel does not work with autograd.grad.)"""
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        mean = self.accelerator.reduce(flat, reduction="mean")
        parts = mean.split([gradient.numel() for gradient in gradients])
        return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]

    @torch.no_grad()
    def _average(self, share: float | Tensor) -> None:
        """Move the averages towards the weights, and copy the buffers."""
        if isinstance(share, Tensor):
            torch._foreach_lerp_(self._ema_weights, self._weights, [share.to(p.dtype) for p in self._ema_weights])
        else:
            torch._foreach_lerp_(self._ema_weights, self._weights, share)
        for name, average in self._averages.items():
            for own, live in zip(average.buffers(), self.networks[name].buffers(), strict=True):
                own.copy_(live)

    def state(self) -> dict[str, Tensor]:
        """Return all tensors that training changes, by name: parameters, buffers, averages and the rule's moments."""
        return {name: tensor.detach() for name, tensor in self._tensors()}

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the names of `state` with the tensors themselves, of which `state` has views."""
        for name, module in self._modules():
            for key, value in module.state_dict(keep_vars=True).items():
                yield f"{name}.{key}", value
        for name, parameters in self._parameters.items():
            for key, parameter in parameters.items():
                for moment, value in self.rule.state(parameter).items():
                    yield f"moment.{name}.{key}.{moment}", value

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy a saved state into the engine's tensors. Other names in it are ignored.

        Raises AimganError, before anything is copied, if a tensor is missing or has another shape.
        """
        own = self.state()
        for name, value in own.items():
            found = "nothing"
            if name in tensors:
                found = f"{tuple(tensors[name].shape)} of {tensors[name].dtype}"
            expected = f"{tuple(value.shape)} of {value.dtype}"
            if found != expected:
                raise AimganError(f"checkpoint has {found} for {name}; expected {expected}: use its own recipe")
        for name, value in own.items():
            value.copy_(tensors[name])

    def buffer_names(self) -> set[str]:
        """Return the names of the modules' buffers in `state`. Buffers may differ between processes."""
        return {f"{name}.{key}" for name, module in self._modules() for key, _ in module.named_buffers()}

    def _modules(self) -> Iterator[tuple[str, nn.Module]]:
        yield from self.networks.items()
        yield from memories(self.objective).items()
        for name, network in self._averages.items():
            yield f"average.{name}", network
