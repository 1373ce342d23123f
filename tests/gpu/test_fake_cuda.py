"""Every objective on a GPU without kernels (fake_cuda.py), in a process of its own: much of torch is patched there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def compiled(folder: Path) -> None:
    """Compile the device as a module of Python."""
    home = Path(torch.__file__).parent
    includes = [sysconfig.get_paths()["include"], home / "include", home / "include/torch/csrc/api/include"]
    command = ["g++", "-shared", "-fPIC", "-std=c++20", "-O0", HERE / "fake_cuda.cpp", *(f"-I{i}" for i in includes)]
    command += [f"-L{home / 'lib'}", f"-Wl,-rpath,{home / 'lib'}", "-lc10", "-ltorch_cpu"]
    subprocess.run([*command, "-o", folder / "fake_cuda_device.so"], check=True)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++ to compile the device with")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: test_with_a_gpu.py asks it")
def test_every_objective_runs_and_could_be_recorded(tmp_path):
    compiled(tmp_path)
    paths = os.pathsep.join([str(tmp_path), str(HERE.parent / "helpers"), *sys.path])
    command = [sys.executable, HERE / "fake_cuda.py", "bf16"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False)
    failed = [line for line in done.stdout.splitlines() if not line.endswith(" ok")]
    assert (done.returncode, failed) == (0, []), done.stderr[-2000:]
