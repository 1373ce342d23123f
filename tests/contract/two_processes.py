"""Train every objective for 20 steps in this launch's processes; the first one writes all states to the given file.

One process: `python two_processes.py FILE`. Two, over gloo: `torchrun --nproc-per-node 2 two_processes.py FILE`.
"""

from __future__ import annotations

import sys

import torch
from accelerate import Accelerator
from contract_players import data, make
from safetensors.torch import save_file
from torch import Tensor

from aimgan.objectives import OBJECTIVES
from aimgan.train.adam import Adam
from aimgan.train.engine import Engine


def trained(name: str, accelerator: Accelerator) -> dict[str, Tensor]:
    engine = Engine(make(name), Adam(), accelerator, seed=3, ema=0.9)
    share = 8 // accelerator.num_processes
    for step in range(20):
        engine.step(data("plain", step, n=8).split(share)[accelerator.process_index], step, lr=0.01)
    return {f"{name}/{key}": value for key, value in engine.state().items()}


def main(file: str) -> None:
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    states = {key: value for name in OBJECTIVES for key, value in trained(name, accelerator).items()}
    if accelerator.is_main_process:
        save_file(states | {"processes": torch.tensor(accelerator.num_processes)}, file)
    accelerator.end_training()


if __name__ == "__main__":
    main(sys.argv[1])
