"""One job for a short stay on a borrowed GPU: the checks, then one recipe for as long as the time allows.

    python benchmarks/gpu.py pack FOLDER --data PATH [--back OUT]       here: collect what travels, at most 60 MiB
    python benchmarks/gpu.py run FOLDER OUT RECIPE --seconds 800 [FLAGS of aimgan train]      there

FOLDER holds the data, the cached digit classifier and, with --back, what an earlier job left in OUT: the run then goes
on from there. `run` leaves at most 8 files of at most 16 MiB in OUT: logs, the run's records and figures, and the
weights in float16. Adam's moments come back in bfloat16 if there is room, else they start again from zero: either way
the run that goes on is close to an undisturbed one and not equal to it. `--device cpu` is for trying the job out.
Table 4 at its full width has 69 MiB in float16, too much to come back; `--set networks.width=512` fits.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from aimgan.files import cache_folder
from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir

ROOT = Path(__file__).parents[1]
TRAVELS = 60 * 2**20  # bytes, to the machine
PIECE, FILES = 15 * 2**20, 8  # back from it
CHECKS = 0.2  # of the time at most
RESERVE = 45  # seconds to save, score and collect
RECORDS = ("run.json", "metrics.jsonl", "evaluation.json", "report.md", "report.html", "figures")


def pack(given: Namespace) -> None:
    """Collect what travels."""
    shutil.rmtree(given.folder, ignore_errors=True)
    source, data = Path(given.data), given.folder / "data"
    if source.is_dir():
        shutil.copytree(source, data)
    else:
        data.mkdir(parents=True)
        shutil.copy(source, data)
    for classifier in cache_folder().glob("digit-classifier*"):
        (given.folder / "cache").mkdir(exist_ok=True)
        shutil.copy(classifier, given.folder / "cache")
    if given.back:
        shutil.copytree(given.back, given.folder / "back")
    size = sum(file.stat().st_size for file in given.folder.rglob("*") if file.is_file())
    if size > TRAVELS:
        sys.exit(f"{given.folder} has {size / 2**20:.0f} MiB; expected at most {TRAVELS / 2**20:.0f}: take less data")


def run(given: Namespace, flags: list[str]) -> None:
    """Check the card, train, and collect what goes back."""
    end = time.monotonic() + given.seconds
    given.out.mkdir(parents=True, exist_ok=True)
    folder = RunDir(given.folder / "run")
    begun = unpacked(given.folder / "back", folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    environment |= {"AIMGAN_CACHE": str(given.folder / "cache"), "AIMGAN_TEST_DEVICE": given.device}
    if not begun:
        tests = ["-m", "pytest", "-q", "-o", "addopts=", "-W", "default", "tests/gpu/test_with_a_gpu.py"]
        told(tests, given.out / "check.log", CHECKS * given.seconds, ROOT, environment)
    train = ["-m", "aimgan", "train", given.recipe, "--data", "data", "--device", given.device]
    train += ["--output", "run", "--set", "checkpoint_seconds=100000", *flags]
    told(train, given.out / "train.log", end - time.monotonic() - RESERVE, given.folder, environment)
    collect(folder, given.out)


def told(arguments: list[str], log: Path, seconds: float, folder: Path, environment: dict[str, str]) -> None:
    """Run Python for at most so many seconds; SIGINT, after which a training saves its state, ends it."""
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=file, stderr=file)
        try:
            process.wait(max(seconds, 1))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
    print(log.stem, process.returncode, log.read_text().splitlines()[-1:], flush=True)


def collect(run: RunDir, out: Path) -> None:
    """Write the records, and the newest checkpoint in pieces: the weights, then the moments while there is room."""
    with tarfile.open(out / "records.tar.gz", "w:gz") as tar:
        for name in RECORDS:
            if (run.path / name).exists():
                tar.add(run.path / name, name)
    found = checkpoint.newest(run.checkpoints)
    if found is None:
        sys.exit("there is no checkpoint: see train.log")
    kept: dict[str, Tensor] = {}
    left_out, size = {}, 0
    room = PIECE * (FILES - len([*out.iterdir()]) - 1)  # state.json is a file too
    for name in sorted(found.tensors, key=lambda name: name.startswith("moment.")):
        value = shortened(name, found.tensors[name])
        size += value.nbytes + 200  # its name and shape
        if size < room:
            kept[name] = value
        else:
            left_out[name] = list(value.shape)
    state = save(kept)
    for number, start in enumerate(range(0, len(state), PIECE)):
        (out / f"state-{number}.part").write_bytes(state[start : start + PIECE])
    (out / "state.json").write_text(json.dumps({"step": found.step, "left_out": left_out}))
    print(f"step {found.step}: {len(state) / 2**20:.1f} MiB, {len(left_out)} tensors left out", flush=True)


def shortened(name: str, value: Tensor) -> Tensor:
    """Return a tensor of a checkpoint in half the bytes. Squares of gradients need bfloat16's range."""
    if value.dtype != torch.float32 or value.dim() == 0:
        return value
    return value.to(torch.bfloat16 if name.startswith("moment.") else torch.float16)


def unpacked(back: Path, run: RunDir) -> bool:
    """Make a run's folder of what an earlier job brought back, and return whether there was such a job."""
    if not (back / "state.json").exists():
        return False
    state = json.loads((back / "state.json").read_text())
    tensors = {}
    for name, shape in state["left_out"].items():
        if not name.startswith("moment."):
            sys.exit(f"{name} did not come back, so the run cannot go on: take narrower networks")
        tensors[name] = torch.zeros(shape)
    pieces = sorted(back.glob("state-*.part"))
    for name, value in load(b"".join(piece.read_bytes() for piece in pieces)).items():
        tensors[name] = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    for name in state["left_out"]:  # Adam's count must fit its moments
        tensors[name.rpartition(".")[0] + ".step"] = torch.zeros(())
        for moment in ("exp_avg", "exp_avg_sq"):
            part = f"{name.rpartition('.')[0]}.{moment}"
            tensors[part] = torch.zeros_like(tensors[part])
    run.path.mkdir(parents=True)
    with tarfile.open(back / "records.tar.gz") as tar:
        tar.extractall(run.path, filter="data")
    checkpoint.save(run.checkpoints, state["step"], tensors, run.records())
    return True


def main() -> None:
    parser = ArgumentParser(usage=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    packing = parts.add_parser("pack")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--data", required=True)
    packing.add_argument("--back", type=Path)
    running = parts.add_parser("run")
    running.add_argument("folder", type=Path)
    running.add_argument("out", type=Path)
    running.add_argument("recipe")
    running.add_argument("--seconds", type=float, default=800)
    running.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    given, flags = parser.parse_known_args()
    if given.part == "pack":
        pack(given)
    else:
        given.folder, given.out = given.folder.resolve(), given.out.resolve()
        run(given, flags)


if __name__ == "__main__":
    main()
