"""Packs that are killed while they are made, in caches/{appends,moments,at once}: `python kills.py FOLDER CACHES`.

Each kill is of a child that begins as a copy of this process, which has no threads, so that torch is imported once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from aimgan.data import decoding, packed
from aimgan.data.decoding import Form
from aimgan.data.images import Reader

decoding.CHUNK = 16
append = packed.Packing.append


def slowly(*arguments: object) -> None:
    time.sleep(0.02)
    append(*arguments)


def pack(folder: str, said: list[str]) -> str:
    """Pack and return the fingerprint."""
    return Reader(folder, Form(8, 1), packed=True, say=said.append).read().measured["fingerprint"]


def child(work: Callable[[], object]) -> int:
    """Begin a process that does some work and ends."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def killed_after(count: int, folder: str) -> None:
    """End in the midst of things, so many appends after the begin."""
    done = []

    def counted(*arguments: object) -> None:
        if len(done) == count:
            os._exit(9)
        done.append(append(*arguments))

    packed.Packing.append = counted
    pack(folder, [])


def after_appends(folder: str, counts: list[int]) -> None:
    for count in counts:
        pid = child(lambda count=count: killed_after(count, folder))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def at_any_moment(folder: str, kills: int, seed: int) -> None:
    """Kill where the system may: in a write, between a write and its line, before the first."""
    draw = random.Random(seed)
    packed.Packing.append = slowly
    for _ in range(kills):
        pid = child(lambda: pack(folder, []))
        time.sleep(draw.uniform(0, 0.15))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def at_once(folder: str, processes: int, to: Path) -> None:
    """Pack in several processes, each of which goes on when all of them have begun."""

    def together(*arguments: object) -> None:
        while len([*to.glob("*.begun")]) < processes:
            time.sleep(0.01)
        time.sleep(0.05)
        append(*arguments)

    packed.Packing.append = together

    def work(number: int) -> None:
        (to / f"{number}.begun").touch()
        said: list[str] = []
        found = pack(folder, said)
        (to / f"{number}.json").write_text(json.dumps([found, said]))

    for pid in [child(lambda number=number: work(number)) for number in range(processes)]:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def in_cache(path: Path) -> Path:
    path.mkdir()
    os.environ["AIMGAN_CACHE"] = str(path)
    return path


if __name__ == "__main__":
    source, caches = sys.argv[1], Path(sys.argv[2])
    in_cache(caches / "appends")
    after_appends(source, [0, 1, 3, 2, 1])  # each goes on where the last one stopped
    in_cache(caches / "moments")
    at_any_moment(source, kills=6, seed=0)
    at_once(source, 3, in_cache(caches / "at once"))
