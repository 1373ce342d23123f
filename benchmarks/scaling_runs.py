"""Workers that time steps and all-reduces on demand: one process, and two under torchrun, that wait for each other.

Both launches live side by side, and only one of them works at a time, so that what is compared is measured in turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import torch
from accelerate import Accelerator
from torch import distributed
from torch.distributed import TCPStore

from aimgan.networks import Table3, Table4
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.recipes.recipe import Recipe
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine

LAUNCHES = {1: [], 2: ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]}
LONG = timedelta(hours=1)
Job = dict[str, Any]


def family(width: int, side: int = 32) -> Table4:
    """Table 4's networks at another size."""
    return Table4(shape=(3, side, side), width=width)


def recipe_of(name: str) -> Recipe:
    """`grid`, `table3-256`, or Table 4's networks by side and width: `32-128`."""
    if name == "grid":
        return RECIPES["grid/aim"]
    kind, width = name.split("-")
    if kind == "table3":
        return replace(RECIPES["mnist/aim"], networks=Table3(width=int(width)))
    return replace(RECIPES["cifar10/aim"], networks=family(int(width), int(kind)))


class Launch:
    """One launch of n processes, seen from outside."""

    def __init__(self, n: int, store: TCPStore) -> None:
        self.n, self._store, self._asked = n, store, 0
        command = [sys.executable, *LAUNCHES[n], __file__, str(n), str(store.port)]
        self._process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})

    def __call__(self, **job: Any) -> float:
        """Do a job and return its seconds."""
        key = f"{self.n}/{self._asked}"
        self._asked += 1
        self._store.set(key, json.dumps(job))
        while not self._store.check([f"{key}/done"]):
            if self._process.poll() is not None:
                raise SystemExit(f"the launch of {self.n} ended, exit code {self._process.returncode}")
            time.sleep(0.005)
        return float(self._store.get(f"{key}/done"))

    def stop(self) -> None:
        if self._process.poll() is None:
            self._store.set(f"{self.n}/{self._asked}", json.dumps({"kind": "stop"}))
        self._process.wait(60)


@contextmanager
def launched(*sizes: int) -> Iterator[dict[int, Launch]]:
    """Launches of so many processes each, by that number."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=LONG)
    launches = {n: Launch(n, store) for n in sizes}
    try:
        yield launches
    finally:
        for launch in launches.values():
            launch.stop()


def in_turns(launches: dict[int, Launch], jobs: Iterable[tuple[int, Job]], rounds: int) -> list[list[float]]:
    """Seconds of each (launch, job), a list over rounds: one of each, then all again. A first round is thrown away."""
    jobs = list(jobs)
    seconds: list[list[float]] = [[] for _ in jobs]
    for turn in range(rounds + 1):
        for (n, job), found in zip(jobs, seconds, strict=True):
            took = launches[n](**job)
            if turn:
                found.append(took)
        print(f"round {turn} of {rounds}", file=sys.stderr, flush=True)
    return seconds


# --- inside a launch ----------------------------------------------------------------------------------------------


def timed(call: Any, times: int, world: int) -> float:
    """Seconds a call, from a moment when all processes are here."""
    if world > 1:
        distributed.barrier()
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) / times


class Worker:
    """A process of a launch."""

    def __init__(self) -> None:
        self.accelerator = Accelerator(cpu=True)
        self.world = self.accelerator.num_processes
        self.engines: dict[str, Engine] = {}
        self.steps = count()

    def step(self, networks: str, batch: int, steps: int, threads: int = 1) -> float:
        torch.set_num_threads(threads)
        recipe = recipe_of(networks)
        if networks not in self.engines:
            rule = Adam(recipe.beta1, recipe.beta2)
            self.engines[networks] = Engine(assemble(recipe, 0), rule, self.accelerator)
        engine, x = self.engines[networks], torch.rand(batch // self.world, *recipe.networks.shape)
        return timed(lambda: engine.step(x, next(self.steps), recipe.lr), steps, self.world)

    def reduce(self, size: int, times: int) -> float:
        values = torch.rand(size // 4)
        return timed(lambda: distributed.all_reduce(values), times, self.world)


def main(n: str, port: int) -> None:
    store = TCPStore("127.0.0.1", port, is_master=False, timeout=LONG)
    torch.set_num_threads(1)
    worker = Worker()
    for k in count():
        job = json.loads(store.get(f"{n}/{k}"))
        kind = job.pop("kind")
        if kind == "stop":
            break
        seconds = getattr(worker, kind)(**job)
        if worker.accelerator.is_main_process:
            store.set(f"{n}/{k}/done", str(seconds))
    worker.accelerator.end_training()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
