"""A training run that is harmed and begun again, and the verdict: the bytes of the run left alone, or one line."""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import injection
import torch
from injection import Ended, Fault
from PIL import Image
from safetensors.torch import load, save
from short_ends import score_few

import aimgan.runs.train  # noqa: F401  # once, before the forks
from aimgan import cli
from aimgan.runs import finish
from aimgan.training import checkpoint
from aimgan.training.checkpoint import Checkpoint
from aimgan.training.engine import Engine

TINY = ("--seed=3", "--device=cpu", "--track=off", "--set=checkpoint_seconds=0", "--set=networks.width=8")
COMMANDS = {
    "grid/aim": ("train", "grid/aim", "--steps=8", "--set=batch_size=16", *TINY),
    "digits/aim": ("train", "digits/aim", "--steps=8", "--set=batch_size=449", "--set=evaluate_every=1", *TINY),
}
SAME = "same"  # the verdict on a run that ended in the bytes of the one left alone


def quicken() -> None:
    """Score little and draw one picture without matplotlib in all runs of this process: the same kinds of files."""
    torch.set_num_threads(1)
    score_few(500, 100, 100)
    finish.draw = lambda model, data, run, plan: [
        finish.save(Image.effect_noise((64, 64), 0), run.figures / "noise.png")
    ]


@dataclass(frozen=True)
class Trial:
    """What was done, what it met, and the verdict: SAME, "one line", or what is wrong."""

    kind: str
    what: str
    met: str
    verdict: str

    @property
    def passed(self) -> bool:
        """Whether the promise was kept."""
        return self.verdict in (SAME, "one line")


class Run:
    """A command, run once undisturbed, and then under harm in a folder of its own for each trial.

    `around` is entered in every child: what it changes is what is tried.
    """

    def __init__(self, words: tuple[str, ...], scratch: Path, around: Callable[[], object] | None = None) -> None:
        self.words, self.scratch, self.around = words, scratch, around
        self.folder = scratch / "run"
        self.fresh()
        ended = injection.run(self._listing, self.folder, scratch, Fault("l", 0))
        for name in (scratch / "modules").read_text().split():  # imported here once, and not in every child
            with suppress(Exception):
                importlib.import_module(name)
        if ended.code:
            raise SystemExit(f"the run left alone ended with {ended.code}: {ended.errors}")
        gc.freeze()  # what is here already is not looked at, and so not copied, in children
        self.calls, self.state = ended.calls, state_of(self.folder)
        self.steps = max(dict(row)["step"] for row in self.state["metrics.jsonl"])

    def fresh(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self) -> None:
        """Run the command in this process."""
        if self.around:
            self.around()
        sys.argv = ["aimgan", *self.words, f"--output={self.folder}"]
        cli.main()

    def _listing(self) -> None:
        try:
            self.command()
        finally:
            (self.scratch / "modules").write_text("\n".join([name for name in sys.modules if name != "__main__"]))

    def train(self, fault: Fault | None = None) -> Ended:
        """Run the command in a child."""
        return injection.run(self.command, self.folder, self.scratch, fault)

    def again(self, kind: str, what: str, met: str, lines: bool = False) -> Trial:
        """Run the command again, unharmed, and judge how it ends. `lines`: a refusal in one line is an answer too."""
        ended = self.train()
        one = ended.code == 1 and is_one_line(ended.errors.splitlines()[-1:])
        if "Traceback" in ended.said + ended.errors or (ended.code and not one):
            return Trial(kind, what, met, f"lost: exit {ended.code}, {ended.errors[-300:]}")
        if ended.code:
            return Trial(kind, what, met, "one line" if lines else f"lost: {ended.errors[-300:]}")
        return Trial(kind, what, met, difference(self.state, self.folder) or SAME)


def is_one_line(lines: list[str]) -> bool:
    """Whether errors are one line of ours."""
    return len(lines) == 1 and lines[0].startswith("aimgan: ")


def state_of(folder: Path) -> dict:
    """Return all that a run leaves, but for speeds, the day and the bytes that hold them: contents by name."""
    found = checkpoint.newest(folder / "checkpoints")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    plain = [path for path in folder.rglob("*") if path.is_file() and path.parent.parent.name != "checkpoints"]
    left_out = {"run.json", "metrics.jsonl"}
    return {
        **{path.relative_to(folder).as_posix(): path.read_bytes() for path in plain if path.name not in left_out},
        "more than two checkpoints": len(list((folder / "checkpoints").iterdir())) > 2,
        "settings": json.loads((folder / "run.json").read_text())["settings"],
        "metrics.jsonl": [[(k, v) for k, v in row.items() if not k.endswith("_per_second")] for row in rows],
        "step": found and found.step,
        **{f"tensor {name}": value.numpy().tobytes() for name, value in (found.tensors if found else {}).items()},
    }


def difference(state: dict, folder: Path) -> str:
    """Say in what a finished run differs from the one left alone, or nothing."""
    try:
        found = state_of(folder)
    except (OSError, ValueError) as reason:
        return f"differs: {reason}"
    names = [name for name in {**state, **found} if state.get(name) != found.get(name)]
    return f"differs: {', '.join(names[:5])}" if names else ""


def kill(run: Run, kind: str, at: int) -> Trial:
    """Kill at a system call, and run again."""
    run.fresh()
    ended = run.train(Fault(kind, at))
    met = ended.calls[0] if ended.calls else "nothing"
    how = {"k": "before", "h": "in the midst of"}[kind]
    return run.again("kill", f"{how} call {at}", met) if ended.code == -9 else _unmet("kill", f"call {at}", ended)


def kill_in_step(run: Run, step: int, microseconds: int) -> Trial:
    """Kill some time after the beginning of a step, and run again."""
    run.fresh()
    real, shim = Engine.step, injection.library()

    def mortal(self: Engine, x: torch.Tensor, at: int, lr: float) -> dict:
        if at == step:
            shim.fault_kill_after(microseconds)
        return real(self, x, at, lr)

    Engine.step = mortal
    try:
        ended = run.train()
    finally:
        Engine.step = real
    what = f"{microseconds} us into step {step}"
    return run.again("kill", what, "step") if ended.code == -9 else _unmet("kill", what, ended)


def _unmet(kind: str, what: str, ended: Ended) -> Trial:
    return Trial(kind, what, "nothing", f"lost: not harmed, exit {ended.code}: {ended.errors[-300:]}")


def refuse(run: Run, fault: Fault, kind: str) -> Trial:
    """Let the disk refuse: the run must say so in one line, and end in the same bytes when it no longer does."""
    run.fresh()
    ended = run.train(fault)
    met, what = ended.calls[0] if ended.calls else "nothing", f"{fault.kind} at call {fault.at}"
    return _after_refusal(run, ended, kind, what, met)


def _after_refusal(run: Run, ended: Ended, kind: str, what: str, met: str) -> Trial:
    clear = ended.code == 1 and is_one_line(ended.errors.splitlines()) and "cannot " in ended.errors
    if not (clear or (ended.code == 0 and not difference(run.state, run.folder))):
        return Trial(kind, what, met, f"lost: no clear line, exit {ended.code}: {ended.errors[-300:]}")
    trial = run.again(kind, what, met)
    return Trial(kind, what, f"{met}: {ended.errors.strip() or 'nothing was lacking'}", trial.verdict)


def fill(run: Run, kibibytes: int) -> Trial:
    """Run on a disk (a tmpfs) of a size, then enlarge it and run again. Needs the right to mount."""
    with mounted(run, f"size={kibibytes}k"):
        ended = run.train()
        subprocess.run(["mount", "-o", "remount,size=64m", run.folder], check=True)
        return _after_refusal(run, ended, "disk full", f"tmpfs of {kibibytes} KiB", "tmpfs")


@contextmanager
def mounted(run: Run, options: str):
    """Give the run a file system of its own."""
    run.fresh()
    run.folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", run.folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", run.folder], check=True)


def can_mount(scratch: Path) -> bool:
    """Whether this process may mount a file system."""
    folder = scratch / "mount"
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        return False
    return not subprocess.run(["umount", folder], check=False).returncode


def meanwhile(run: Run, at: int, act: Callable[[], object]) -> Ended:
    """Stop a run before a system call, do something to the world, and let it go on."""
    child = injection.start(run.command, run.folder, run.scratch, Fault("p", at))
    if injection.wait_for_stop(child):
        act()
        os.kill(child, signal.SIGCONT)
    return injection.wait(child, run.scratch)


def read_only(run: Run, at: int) -> Trial:
    """Make the folder's file system read-only while the run stands before a system call, and later writable again."""
    with mounted(run, "size=64m"):
        ended = meanwhile(run, at, lambda: subprocess.run(["mount", "-o", "remount,ro", run.folder], check=True))
        subprocess.run(["mount", "-o", "remount,rw", run.folder], check=True)
        return _after_refusal(run, ended, "read-only", f"remounted at call {at}", run.calls[at])


def removed_output(run: Run, at: int) -> Trial:
    """Remove the run's folder while it trains."""
    run.fresh()
    ended = meanwhile(run, at, run.fresh)
    return _after_refusal(run, ended, "output removed", f"at call {at}", run.calls[at])


def two_at_once(run: Run, at: int) -> Trial:
    """Begin the same command while the run stands before a system call: it must be refused, and do no harm."""
    run.fresh()
    other = run.scratch / "other"
    other.mkdir(exist_ok=True)
    second: list[Ended] = []
    first = meanwhile(run, at, lambda: second.append(injection.run(run.command, run.folder, other)))
    met = second[0].errors.strip()
    kind, what = "two at once", f"at call {at}"
    if second[0].code != 1 or not is_one_line([met]) or first.code:
        return Trial(kind, what, met, f"lost: exits {second[0].code} and {first.code}: {first.errors[-300:]}")
    return Trial(kind, what, met, difference(run.state, run.folder) or SAME)


def terminate_twice(run: Run, at: int) -> Trial:
    """Send SIGTERM at two system calls in a row: while it trains the run stops with its state saved; later it dies."""
    run.fresh()
    ended = run.train(Fault("t", at))
    stopped = ended.code == 130 and is_one_line(ended.errors.splitlines())
    if not (stopped or ended.code in (-15, 0)):
        return Trial("SIGTERM twice", f"at call {at}", "", f"lost: exit {ended.code}: {ended.errors[-300:]}")
    return run.again("SIGTERM twice", f"at call {at}", f"{run.calls[at]}: {ended.errors.strip() or ended.code}")


def short_writes(run: Run, at: int) -> Trial:
    """Let every write take half of what it is given."""
    run.fresh()
    ended = run.train(Fault("s", at))
    verdict = f"lost: {ended.errors[-300:]}" if ended.code else difference(run.state, run.folder) or SAME
    return Trial("short writes", f"from call {at}", run.calls[at], verdict)


def data_removed(run: Run, at: int, data: Path) -> list[Trial]:
    """Remove the data while the run trains, and then begin again without, and with them."""
    run.fresh()
    away = data.with_suffix(".away")
    ended = meanwhile(run, at, lambda: data.rename(away))
    verdict = f"lost: {ended.errors[-300:]}" if ended.code else difference(run.state, run.folder) or SAME
    run.fresh()
    run.train(Fault("k", at))
    refused = run.train()
    clear = refused.code == 1 and is_one_line(refused.errors.splitlines())
    away.rename(data)
    again = run.again("data removed", f"killed at call {at}, then removed", refused.errors.strip())
    return [
        Trial("data removed", f"at call {at}", run.calls[at], verdict),
        again if clear else replace(again, verdict=f"lost: exit {refused.code}: {refused.errors[-300:]}"),
    ]


def clock_set_back(run: Run) -> Trial:
    """Let both clocks of Python go back by an hour every fourth time they are read."""

    def back() -> None:
        for name in ("time", "monotonic"):
            real, reads = getattr(time, name), count()
            setattr(time, name, lambda real=real, reads=reads: real() - 3_600 * (next(reads) // 4))

    run.fresh()
    ended = injection.run(lambda: (back(), run.command()), run.folder, run.scratch)
    verdict = f"lost: {ended.errors[-300:]}" if ended.code else difference(run.state, run.folder) or SAME
    return Trial("clock set back", "by an hour, often", "", verdict)


def corrupt(run: Run, base: Path, harms: list[tuple[str, str]], draw: random.Random) -> Trial:
    """Damage files of a run that was killed, and run again. `base` is the folder as the kill left it."""
    run.fresh()
    shutil.copytree(base, run.folder)
    for name, damage in harms:
        harm(run.folder / name, damage, draw)
    return run.again("corruption", ", ".join(f"{name} {damage}" for name, damage in harms), "", lines=True)


def killed_at(run: Run, at: int, base: Path) -> list[str]:
    """Kill a run before a system call, keep its folder as `base`, and return the names of its files."""
    run.fresh()
    run.train(Fault("k", at))
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(run.folder, base)
    return sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file())


DAMAGE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut short": lambda data, draw: data[: draw.randrange(len(data))],
    "emptied": lambda data, draw: b"",
    "a bit flipped": lambda data, draw: flipped(data, [draw.randrange(8 * len(data))]),
    "64 bits flipped": lambda data, draw: flipped(data, [draw.randrange(8 * len(data)) for _ in range(64)]),
    "its end zeroed": lambda data, draw: data[: (n := draw.randrange(len(data)))] + bytes(len(data) - n),
}


def flipped(data: bytes, positions: list[int]) -> bytes:
    """Return bytes with some bits the other way."""
    found = bytearray(data)
    for position in positions:
        found[position // 8] ^= 1 << position % 8
    return bytes(found)


def harm(path: Path, damage: str, draw: random.Random) -> None:
    """Damage a file, or remove it."""
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(DAMAGE[damage](path.read_bytes(), draw))


class InPlace:
    """The writer that every program begins with: no file beside, no rename, no checksum. It must fail the harness."""

    @staticmethod
    def save(folder: Path, step: int, tensors: dict, files: tuple = (), keep: int = 2) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "0").mkdir(exist_ok=True)
        (folder / "0" / "step").write_text(str(step))
        (folder / "0" / "state.safetensors").write_bytes(save(tensors))

    @staticmethod
    def newest(folder: Path) -> Checkpoint | None:
        if not (folder / "0" / "step").exists():
            return None
        step = int((folder / "0" / "step").read_text())
        return Checkpoint(step, load((folder / "0" / "state.safetensors").read_bytes()))

    @classmethod
    def install(cls) -> None:
        """Put this writer in the place of ours."""
        checkpoint.save, checkpoint.newest, checkpoint.prune = cls.save, cls.newest, lambda *rest: None
