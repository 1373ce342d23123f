"""The processes that decode: what they do, how they end, and what goes on without them."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from streams import pictures, png, write_files, write_shards, write_tar

from aimgan.data import Stream
from aimgan.data.decode import decode
from aimgan.data.decoder import Decoder, Extent
from aimgan.data.streaming import feed as feeding
from aimgan.data.streaming.source import stamp
from aimgan.errors import AimganError

N = 60
SCRIPT = """
import sys
import aimgan
from dataclasses import replace
from aimgan.data import Stream
from aimgan.experiments import training
from aimgan.experiments.images import DIGITS

training.finish = lambda model, data, run, *rest: model.save(run.model)  # its scores take longer than its steps
print("the script", flush=True)
data = Stream(sys.argv[1], size=8, channels=1, buffer=25)
recipe = replace(DIGITS, name="stream/aim", data=data, steps=int(sys.argv[3]), batch_size=20)
aimgan.train(recipe, sys.argv[2], device="cpu")
print("done", flush=True)
"""


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_shards(tmp_path / "data", pictures(N))


def stream(path: Path):
    return Stream(str(path), size=8, channels=1, buffer=30, test_fraction=0.0).load()


OTHERS: set[str] = set()


@pytest.fixture(autouse=True)
def _others() -> None:
    """Know the processes of feeds that tests before left to the garbage collector."""
    gc.collect()
    OTHERS.clear()
    OTHERS.update(map(str, children()))


def children(pid: int | None = None) -> list[int]:
    """The decoding processes of a process; those that have ended and were not waited for are none."""
    own = pid or os.getpid()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if (
                int(parent) == own
                and folder.name not in OTHERS
                and state != "Z"
                and b"worker.py" in (folder / "cmdline").read_bytes()
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def until(true, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_decodes_bytes_and_paths_as_this_one_does_and_tells_what_it_cannot(tmp_path):
    images = pictures(4, side=20)
    folder = write_files(tmp_path / "files", images)
    path = folder / "0003.png"
    (folder / "broken\udcff.png").write_bytes(b"no picture")
    decoder, rows = Decoder(), np.full((7, 3, 8, 8), 7, np.uint8)
    shard = write_tar(tmp_path / "a.tar", {"a.png": png(images[1])})
    place = Extent(stamp(shard), 512, len(png(images[1])))
    changed = Extent(place.file._replace(modified=0), *place[1:])
    files = [BytesIO(png(images[0])), path, None, BytesIO(b"no picture"), folder / "broken\udcff.png", place, changed]
    for _ in range(2):
        assert decoder.decode(files, rows).tolist() == [True, True, False, False, False, True, False]
        for k, image in ((0, 0), (1, 3), (5, 1)):
            assert np.array_equal(rows[k], decode(lambda image=image: folder / f"{image:04d}.png", 8, 3))
    [pid] = children()
    assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()  # which would take ten times the memory
    for told in (signal.SIGINT, signal.SIGTERM):  # the parent's to hear
        os.kill(pid, told)
    assert decoder.decode(files[:1], rows[:1]).all()
    decoder.stop()
    assert not children()


def test_batches_are_the_same_by_processes_and_without_any(folder, monkeypatch):
    data = stream(folder)
    with monkeypatch.context() as patch:
        patch.setattr(feeding, "pixels", lambda *a: pytest.fail("decoded in this process"))
        batches = [data.batch(0, step, 10) for step in range(9)]
    for missing in ("/no/such/python", sys.executable + " ", "/bin/false", None):
        monkeypatch.setattr(sys, "executable", missing)
        alone = stream(folder)
        assert all(torch.equal(alone.batch(0, step, 10), batch) for step, batch in enumerate(batches[:3]))
    assert len(children()) <= data._feed.workers


def test_the_machines_cores_are_shared_by_its_processes(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(12)))
    assert feeding.cores() == 12
    for world, share in (("4", 3), ("24", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", world)
        assert feeding.cores() == share


def test_processes_end_with_their_feed(folder):
    data = stream(folder)
    assert not children()
    data.batch(0, 0, 10)
    assert children()
    del data
    gc.collect()
    assert until(lambda: not children())


def test_a_killed_process_is_one_line(folder):
    data = stream(folder)
    data.batch(0, 0, 10)
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(AimganError, match=r"ended by signal 9 .*run the same command again") as caught:
        torch.cat([data.batch(0, step, 10) for step in range(1, 9)])
    assert "\n" not in str(caught.value)


def started(folder: Path, tmp_path: Path, steps: int) -> subprocess.Popen[str]:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(folder), str(tmp_path / "run"), str(steps)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def test_a_script_without_a_guard_is_run_once(folder, tmp_path):
    with started(folder, tmp_path, 3) as process:
        told, wrong = process.communicate(timeout=100)
    assert (told, wrong, process.returncode) == ("the script\ndone\n", "", 0)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_processes_do_not_outlive_a_parent_and_say_nothing(how, folder, tmp_path):
    with started(folder, tmp_path, 10**6) as process:
        assert until(lambda: children(process.pid), 60)
        assert until(lambda: (tmp_path / "run" / "metrics.jsonl").exists(), 60)
        begun = children(process.pid)
        os.killpg(process.pid, how)  # as a terminal does it
        _, wrong = process.communicate(timeout=60)  # which ends when nobody is left to write there
    assert until(lambda: not any(running(pid) for pid in begun))
    assert process.returncode != 0
    if how == signal.SIGKILL:
        assert wrong == ""
    else:
        assert wrong.count("Traceback") == 1  # the script's own, which catches nothing
        assert "Interrupted" in wrong.splitlines()[-1]
