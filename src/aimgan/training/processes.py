"""The processes of one launch (torchrun, accelerate launch): what they tell each other besides gradients.

All of it goes over a gloo group of its own, between hosts: a GPU is never waited for, and a process may wait here for
hours while the first one evaluates. With one process nothing is sent, and every answer is the one's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, distributed

from aimgan.errors import AimganError

PATIENCE = timedelta(days=7)  # as long as the longest evaluation; a process that dies is noticed at once all the same
GO_ON, SAVE, STOP = 0, 1, 2  # what a process can ask of all of them after a step: the largest is done


@dataclass
class Processes:
    """This process's place among all of them, and the group they talk over. `Processes()` is alone."""

    rank: int = 0
    world: int = 1
    _group: Any = None
    _asked: tuple[Tensor, Any] | None = field(default=None, repr=False)  # what was begun, and its handle

    @classmethod
    def of(cls, accelerator: Accelerator) -> Processes:
        """Open the group. Every process of the launch must come here."""
        if accelerator.num_processes == 1:
            return cls()
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        return cls(accelerator.process_index, accelerator.num_processes, group)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def agreed(self, wish: int) -> int:
        """Return the largest wish of the step before, equal on all processes, and begin to send this step's.

        A signal reaches processes in different steps and clocks differ, but all must save and stop after the same one.
        A step later nobody waits: the answer has come while the step was computed. Alone, a wish is fulfilled at once.
        """
        if self.world == 1:
            return wish
        answer = GO_ON
        if self._asked:
            wishes, work = self._asked
            work.wait()
            answer = int(wishes)
        self._asked = None if answer else self._send(wish)  # what is fulfilled now must not be asked for again
        return answer

    def _send(self, wish: int) -> tuple[Tensor, Any]:
        wishes = torch.tensor(wish)
        return wishes, distributed.all_reduce(wishes, distributed.ReduceOp.MAX, self._group, async_op=True)

    def wait(self) -> None:
        """Wait until all processes are here. Signals are heard meanwhile."""
        if self.world == 1:
            return
        work: Any = distributed.barrier(self._group, async_op=True)
        while not work.is_completed():
            time.sleep(0.02)
        work.wait()  # raises what went wrong

    def mean(self, values: Tensor) -> Tensor:
        """Average over processes: each has the losses of its own share of the batch."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values, group=self._group)
        return values / self.world

    def integer(self, value: int) -> int:
        """Return the first process's value."""
        return int(self._sent(torch.tensor(int(value))))

    def tensors(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the first process's tensors, on the CPU. The others' are not looked at, nor is a disk of theirs."""
        if self.world == 1:
            return dict(own)
        listed = json.dumps({name: [str(t.dtype).removeprefix("torch."), *t.shape] for name, t in own.items()}).encode()
        text = torch.zeros(self.integer(len(listed)), dtype=torch.uint8)
        if self.first:
            text.copy_(torch.frombuffer(bytearray(listed), dtype=torch.uint8))
        layout = json.loads(bytes(self._sent(text).tolist()))
        return {
            name: self._tensor(own.get(name), getattr(torch, dtype), shape) for name, (dtype, *shape) in layout.items()
        }

    def _tensor(self, own: Tensor | None, dtype: torch.dtype, shape: list[int]) -> Tensor:
        value = own.detach().cpu().contiguous() if self.first and own is not None else torch.zeros(shape, dtype=dtype)
        if value.numel():
            self._sent(value.view(-1).view(torch.uint8))  # as bytes: gloo does not know every type
        return value

    def _sent(self, value: Tensor) -> Tensor:
        if self.world > 1:
            distributed.broadcast(value, 0, self._group)
        return value

    def compare(self, tensors: Mapping[str, Tensor], when: str) -> None:
        """Raise AimganError, on all processes, where one of them has other bits in a tensor than the others."""
        if self.world == 1:
            return
        own = torch.tensor([_digest(tensor) for tensor in tensors.values()])
        extremes = torch.cat((own, -own))
        distributed.all_reduce(extremes, distributed.ReduceOp.MAX, self._group)
        high, low = extremes.chunk(2)
        differing = [name for name, differs in zip(tensors, (high != -low).tolist(), strict=True) if differs]
        if differing:
            more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
            raise AimganError(
                f"{self.world} processes have different {differing[0]}{more} {when}; expected equal bits: start all "
                "with one command, one version of torch and one kind of processor, and look for a faulty machine"
            )

    def share(self, batch_size: int) -> int:
        """Return how much of the global batch is this process's. Raises AimganError where it cannot be shared."""
        if batch_size % self.world:
            least = max(1, round(batch_size / self.world)) * self.world
            raise AimganError(
                f"batch_size is {batch_size}, but {self.world} processes share it; expected a multiple: "
                f"--set batch_size={least}, or another number of processes"
            )
        return batch_size // self.world


def _digest(tensor: Tensor) -> int:
    """The first 62 bits of the SHA-256 of a tensor's bytes."""
    data = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little") >> 2


def accelerator_for(device: str, precision: str = "no") -> Accelerator:
    """Return an Accelerator for cpu or cuda and Accelerate's word for mixed precision.

    Accelerate keeps one state a Python process, of the first caller's device and precision, and refuses or ignores any
    other: where they differ the state is made anew. Raises AimganError for another device inside one launch.
    """
    state = AcceleratorState._shared_state
    if state and (state["device"].type != device or state["_mixed_precision"] != precision):
        if state["num_processes"] > 1 and state["device"].type != device:
            raise AimganError(
                f"this launch's processes are joined on {state['device'].type}, but device {device} was asked for: "
                "start another launch"
            )
        AcceleratorState._reset_state(reset_partial_state=True)
    _join_again(device)
    return Accelerator(cpu=device == "cpu", mixed_precision=precision)


def _join_again(device: str) -> None:
    """Join the other processes, where torchrun has started all of them again (else Accelerate does it).

    torchrun keeps one store for all its attempts. There the addresses of the attempt before are found, and waited for
    (pytorch issue 135712); so each attempt gets names of its own. Machines count their attempts each for itself.
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if attempt == "0" or not shared or distributed.is_initialized():
        return
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        raise AimganError(
            "torchrun has started this job again over one store for all attempts, where machines cannot find each "
            "other: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before torchrun, on every machine"
        )
    store, rank, world = next(distributed.rendezvous("env://"))
    own = distributed.PrefixStore(f"attempt {attempt}", store)
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, store=own, rank=rank, world_size=world)


@contextmanager
def ends_of_others(world: int) -> Iterator[None]:
    """Turn a connection that another process's end has cut into one line: what matters is the other's own error."""
    try:
        yield
    except RuntimeError as error:
        if world == 1 or not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        raise AimganError(
            "another process of this launch has ended: its own error, or the launcher's report, says why; mend that "
            "and run the same command again"
        ) from None
