"""Communication between the processes of one launch (torchrun, accelerate launch), besides gradients.

All of it uses a gloo group on the CPUs, so that no GPU has to wait, and a process may wait for hours while the first
one evaluates. With one process nothing is sent.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, distributed

from aimgan.errors import AimganError

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # longer than any evaluation; a process that ends is noticed at once
LEAST = 2  # images of a batch for each process
GO_ON, SAVE, STOP = 0, 1, 2  # what a process can request after a step; all processes do the largest request


@dataclass
class Processes:
    """Rank, world size and gloo group. `Processes()` is a single process."""

    rank: int = 0
    world: int = 1
    _group: Any = None
    _sent: tuple[Tensor, Any] | None = field(default=None, repr=False)  # requests on their way, and torch's handle

    @classmethod
    def of(cls, accelerator: Accelerator) -> Processes:
        """Open the group. Every process of the launch must call this."""
        if accelerator.num_processes == 1:
            return cls()
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        return cls(accelerator.process_index, accelerator.num_processes, group)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def agreed(self, request: int) -> int:
        """Send a request, and return the largest request of the previous step; with one process, its own.

        A signal may reach processes in different steps, but all must save and stop after the same step. The requests of
        the previous step have arrived while this step was computed, so that no process waits.
        """
        if self.world == 1:
            return request
        if self._sent:
            requests, work = self._sent
            work.wait()
            self._sent = None
            if requests > GO_ON:  # this request is done now and must not be sent again
                return int(requests)
        requests = torch.tensor(request)
        work = distributed.all_reduce(requests, distributed.ReduceOp.MAX, self._group, async_op=True)
        self._sent = requests, work
        return GO_ON

    def wait(self) -> None:
        """Wait for all processes. Signals are handled meanwhile."""
        if self.world == 1:
            return
        work: Any = distributed.barrier(self._group, async_op=True)
        while not work.is_completed():
            time.sleep(0.02)
        work.wait()  # raises the error, if there was one

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over processes."""
        if self.world == 1:
            return values
        values = values.clone()
        distributed.all_reduce(values, group=self._group)
        return values / self.world

    def integer(self, value: int) -> int:
        """Return the first process's value."""
        return self.of_the_first(int(value))

    def tensors(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the first process's tensors, on the CPU; those of the others are ignored."""
        return self.of_the_first({name: tensor.detach().cpu() for name, tensor in own.items()})

    def of_the_first(self, value: T) -> T:
        """Return the first process's value, which can be of any type."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, 0, self._group)
        return values[0]

    def compare(self, tensors: Mapping[str, Tensor], when: str) -> None:
        """Raise AimganError, on all processes, if a tensor does not have the same bits on all of them."""
        if self.world == 1:
            return
        names = list(self._differences({name: _sha256(tensor) for name, tensor in tensors.items()}))
        if names:
            raise AimganError(
                f"{self.world} processes have different {_counted(names)} {when}; expected equal bits: start all "
                "with one command, one version of torch and one kind of processor, and look for a faulty machine"
            )

    def require_same(self, job: Mapping[str, Any]) -> None:
        """Raise AimganError, on all processes, if a setting or a property of the data differs between them.

        They would train different models, or wait for each other without end.
        """
        if self.world == 1:
            return
        found = self._differences(job)
        if found:
            values = next(iter(found.values()))
            other = next(rank for rank, value in enumerate(values) if value != values[0])
            raise AimganError(
                f"processes of this launch differ in {_counted([*found])}: {values[0]} in process 0, {values[other]} "
                f"in process {other}; start all with one command, on the same data"
            )

    def _differences(self, own: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return what differs between processes, by name, with the value of each."""
        everyones: list[Any] = [None] * self.world
        distributed.all_gather_object(everyones, dict(own), self._group)
        found = {}
        for name in dict.fromkeys(name for each in everyones for name in each):
            values = [each.get(name) for each in everyones]
            if any(value != values[0] for value in values):
                found[name] = values
        return found

    def share(self, batch_size: int, images: int) -> int:
        """Return this process's part of the batch: equal parts, of at least two images, since batch norm needs two.

        Raises AimganError otherwise, with a batch that can be shared and has at most as many images as there are.
        """
        share, rest = divmod(batch_size, self.world)
        if self.world == 1 or (rest == 0 and share >= LEAST):
            return share
        remedy = f"there are {images:,} images: start at most {max(1, images // LEAST)} of them"
        if images >= LEAST * self.world:
            possible = min(max(LEAST, round(batch_size / self.world)), images // self.world)
            remedy = f"--set batch_size={possible * self.world}, or another number of processes"
        raise AimganError(
            f"batch_size is {batch_size}, but {self.world} processes share it; expected a multiple, with at least "
            f"{LEAST} images for each: {remedy}"
        )


def _counted(names: Sequence[str]) -> str:
    """Return the first name, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _sha256(tensor: Tensor) -> bytes:
    data = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
    return hashlib.sha256(data.numpy().data).digest()


def accelerator_for(device: str, precision: str = "no") -> Accelerator:
    """Return an Accelerator for a device, "cpu" or "cuda", and Accelerate's name of a mixed precision.

    Accelerate keeps one global state, for the first caller's device and precision; for others it is reset here. Raises
    AimganError for another device inside one launch of several processes.
    """
    state = AcceleratorState._shared_state
    if state and (state["device"].type != device or state["_mixed_precision"] != precision):
        if state["num_processes"] > 1 and state["device"].type != device:
            raise AimganError(
                f"the processes of this launch use {state['device'].type}, but device {device} was asked for: "
                "start another launch"
            )
        AcceleratorState._reset_state(reset_partial_state=True)
    _join_after_restart(device)
    return Accelerator(cpu=device == "cpu", mixed_precision=precision)


def _join_after_restart(device: str) -> None:
    """Join the other processes if torchrun has restarted them all; in the first attempt Accelerate does it.

    torchrun keeps one store for all attempts, in which processes would find the addresses of the previous attempt and
    wait for them (pytorch issue 135712). So each attempt gets its own prefix. Several machines do not share a count of
    attempts, so this is not possible there.
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if attempt == "0" or not shared or distributed.is_initialized():
        return
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        raise AimganError(
            "torchrun has restarted this job with a shared store, which fails on several machines: set "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before torchrun, on every machine"
        )
    store, rank, world = next(distributed.rendezvous("env://"))
    own = distributed.PrefixStore(f"attempt {attempt}", store)
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, store=own, rank=rank, world_size=world)


@contextmanager
def ends_of_others(world: int) -> Iterator[None]:
    """Explain in one line the error raised when another process ends and its connection closes."""
    try:
        yield
    except RuntimeError as error:
        from_connection = isinstance(error, distributed.DistError) or "gloo" in str(error)
        if world == 1 or not from_connection:
            raise
        raise AimganError(
            "another process of this launch has ended: its own error, or the launcher's report, says why; fix that "
            "and run the same command again"
        ) from None
