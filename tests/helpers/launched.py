"""What several processes of one launch do: `everything(FOLDER)` launches them; test_equal_processes.py looks at them.

`torchrun --nproc-per-node N launched.py FOLDER [TYPE ...]`: all train every objective for 20 steps
(FOLDER/float64-N.safetensors and float32-N). Two of them also train a recipe in every way that the tests look at; four
go on with what two began.
`launched.py FOLDER command` is `aimgan train` in FOLDER/killed: its second process is killed at step 30, and after the
restart the launcher is told to stop at step 60.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from contract_players import data, make
from safetensors.torch import save_file
from short_ends import only_the_model
from torch import Tensor

import aimgan
from aimgan import cli
from aimgan.errors import AimganError, Interrupted
from aimgan.objectives import OBJECTIVES
from aimgan.runs import train as training
from aimgan.training import checkpoint
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.run_dir import RunDir

TYPES = {"float64": torch.float64, "float32": torch.float32}
STEPS, KILLED, TOLD = 120, 30, 60
BY_TWO, BY_ONE = 6, 12  # the steps at which a run is stopped, to go on with another number of processes
ALIKE = 24  # steps for which losses in float32 are compared: rounding errors grow about tenfold in ten steps
RANK, WORLD = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))


def contract(name: str, accelerator: Accelerator, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    objective = make(name)
    for network in vars(objective).values():
        if isinstance(network, torch.nn.Module):
            network.to(dtype)
    engine = Engine(objective, Adam(), accelerator, seed=3, ema=0.9)
    share = 8 // accelerator.num_processes
    for step in range(20):
        x = data("plain", step, n=8).to(dtype).split(share)[accelerator.process_index]
        engine.step(x, step, lr=0.01)
    return {f"{name}/{key}": value for key, value in engine.state().items()}


def states(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """What training leaves of every objective."""
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    return {key: value for name in OBJECTIVES for key, value in contract(name, accelerator, dtype).items()}


def train(folder: Path, **settings: Any) -> Any:
    return aimgan.train("grid/aim", folder, steps=STEPS, seed=3, device="cpu", settings=settings)


@contextmanager
def at_step(step: int, act: Callable[[Engine], Any]):
    """Do something after a step of training, inside the block."""
    original = Engine.step

    def stepped(self: Engine, x: Tensor, number: int, lr: float) -> dict[str, Tensor]:
        log = original(self, x, number, lr)
        if number + 1 == step:
            act(self)
        return log

    Engine.step = stepped
    try:
        yield
    finally:
        Engine.step = original


def of_own_images(folder: Path, images: int) -> Any:
    """Train on images that only this process has."""
    path = folder.with_name(f"{folder.name}-{RANK}.npy")
    np.save(path, np.random.default_rng(RANK).integers(0, 256, (images, 8, 8, 3), np.uint8))
    return aimgan.train("folder/aim", folder, data=path, size=8, steps=1, device="cpu")


def signalled(engine: Engine | None = None) -> None:
    """Only the second process gets a signal."""
    if RANK == 1:
        os.kill(os.getpid(), signal.SIGTERM)


@torch.no_grad()
def bit_flipped(engine: Engine) -> None:
    if RANK == 1:
        next(engine.networks["E"].parameters()).view(-1)[0] += 1e-7


def losses(folder: Path) -> dict[tuple[int, str], float]:
    """Return the losses that a run logged in its first steps, by step and name."""
    rows = [row for row in RunDir(folder).rows() if row["step"] <= ALIKE]
    return {(row["step"], name): value for row in rows for name, value in row.items() if "/" in name}


def met(folder: Path, name: str, act: Callable[[], Any]) -> None:
    """Write what this process was told."""
    text = "nothing"
    try:
        act()
    except (AimganError, Interrupted) as error:
        text = f"{type(error).__name__}: {error}"
    (folder / f"{name}-{RANK}.txt").write_text(text)


def by_two(folder: Path) -> None:
    model = train(folder / "whole")
    save_file(model.state_dict(), folder / f"returned-{RANK}.safetensors")
    train(folder / "killed", checkpoint_seconds=0.05)
    with at_step(BY_TWO, signalled):
        met(folder, "stopped", lambda: train(folder / "elastic"))
    with at_step(ALIKE, bit_flipped):
        met(folder, "differing", lambda: train(folder / "differing", checkpoint_seconds=1e9))
    met(folder, "shared", lambda: train(folder / "shared", batch_size=255))
    met(folder, "seeds", lambda: aimgan.train("grid/aim", folder / "seeds", steps=1, seed=RANK, device="cpu"))
    for name, images in (("pixels", 200), ("counts", 200 - 50 * RANK)):
        met(folder, name, lambda name=name, images=images: of_own_images(folder / name, images))
    refitted = aimgan.train("digits/aim", folder / "refit", steps=20, settings={"refit": 0.5}, device="cpu")
    save_file(refitted.state_dict(), folder / f"refitted-{RANK}.safetensors")
    training.finish = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    met(folder, "finishing", lambda: train(folder / "finishing"))


def killed(engine: Engine) -> None:
    if RANK == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)


def told(engine: Engine) -> None:
    if RANK == 1:
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(1)  # until the launcher has passed it on


def command(folder: Path) -> None:
    sys.argv = ["aimgan", "train", "grid/aim", f"--steps={STEPS}", "--seed=3", "--device=cpu",
                "--set=checkpoint_seconds=0.05", f"--output={folder / 'killed'}"]  # fmt: skip
    with at_step(KILLED, killed), at_step(TOLD, told):
        cli.main()


def launch(processes: int, folder: Path, *arguments: str, restarts: int = 0) -> subprocess.CompletedProcess:
    """Run this file in so many processes, and let the caller look at how they ended."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--max-restarts={restarts}"]
    command = [sys.executable, *torchrun, f"--nproc-per-node={processes}", __file__, str(folder), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=environment)


def everything(folder: Path, *types: str) -> None:
    """Launch a job that is killed and stopped, two processes, one (here), and four: one after the other."""
    stopped = launch(2, folder, "command", restarts=1)
    assert stopped.returncode != 0, "the launcher was told to stop"
    (folder / "command.txt").write_text(stopped.stderr)
    (folder / "step.txt").write_text(str(checkpoint.newest(folder / "killed" / "checkpoints").step))
    _must(launch(2, folder, *types))
    finish, training.finish = training.finish, only_the_model
    try:
        with at_step(BY_ONE, lambda _: os.kill(os.getpid(), signal.SIGTERM)):
            met(folder, "elastic", lambda: train(folder / "elastic"))
        train(folder / "one")
    finally:
        training.finish = finish
    _must(launch(4, folder, *types))


def _must(done: subprocess.CompletedProcess) -> None:
    assert done.returncode == 0, done.stderr[-4000:]


def main(folder: Path, *given: str) -> None:
    torch.set_num_threads(1)
    training.finish = only_the_model
    if given == ("command",):
        command(folder)
        return
    for name in given or TYPES:
        trained = states(TYPES[name])
        if RANK == 0:
            save_file(trained, folder / f"{name}-{WORLD}.safetensors")
    if WORLD == 2:
        by_two(folder)
    else:
        train(folder / "elastic")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]), *sys.argv[2:])
