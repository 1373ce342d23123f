"""Two real processes over gloo equal one, for every objective, after 20 steps of Adam in float64."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from contract_players import OF_A_WHOLE_BATCH
from safetensors.torch import load_file
from torch import Tensor

from aimgan.objectives import OBJECTIVES

SCRIPT = str(Path(__file__).with_name("two_processes.py"))
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """The states that one process and two processes leave."""
    folder = tmp_path_factory.mktemp("processes")
    for launcher, file in ([], "one.safetensors"), (TORCHRUN, "two.safetensors"):
        command = [sys.executable, *launcher, SCRIPT, str(folder / file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    return [load_file(folder / file) for file in ("one.safetensors", "two.safetensors")]


@pytest.mark.slow
def test_the_launches_had_one_and_two_processes(states: list[dict[str, Tensor]]) -> None:
    assert [int(state["processes"]) for state in states] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in OF_A_WHOLE_BATCH])
def test_two_processes_equal_one(states: list[dict[str, Tensor]], name: str) -> None:
    one, two = ({k: v for k, v in state.items() if k.startswith(f"{name}/")} for state in states)
    assert one
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-9, atol=1e-9)
