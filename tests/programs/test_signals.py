"""A signal at any moment of a command: one line and exit code 130, also if a second one follows at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from aimgan import signals

MOMENTS = 10  # of each phase
LINE = b"aimgan: interrupted\n"
AFTER = 0.05  # seconds from the first signal to the second


@pytest.fixture(autouse=True)
def _not_ignored():
    """A shell lets the programs that it starts in the background ignore SIGINT; here, and in what is started, not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def command(monkeypatch):
    """Let this process end as a command does, with what it would write and its exit from within an import recorded."""
    said: list[object] = []
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    monkeypatch.setattr(signals, "_received", [])
    write = os.write  # other threads call it, too
    monkeypatch.setattr(os, "write", lambda file, line: said.append(line) if line == LINE else write(file, line))
    monkeypatch.setattr(os, "_exit", lambda code: said.append(code))
    signals.end_by_signals()
    yield said
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_the_first_signal_ends_and_the_next_are_ignored(command, number):
    with pytest.raises(SystemExit) as end:
        signal.raise_signal(number)
    assert end.value.code == 130
    for again in signals.SIGNALS:
        signal.raise_signal(again)
    assert command == [LINE]
    signals._received[0] -= 10
    signal.raise_signal(number)  # the end takes long: this one does not wait for it
    assert command == [LINE, 130]


def test_while_a_module_is_imported_the_process_ends_at_once(command, tmp_path, monkeypatch):
    (tmp_path / "interrupted_module.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit):
        import interrupted_module  # noqa: F401
    assert command[:2] == [LINE, 130]


def test_after_a_run_has_stopped_by_a_signal_the_next_is_ignored(command):
    stopped = []
    with signals.on_signal(lambda: stopped.append(1)):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    assert (stopped, command) == ([1], [])


def started(words: list[str], folder: Path) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "aimgan", *words]
    return subprocess.Popen(program, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_program(process: subprocess.Popen[str]) -> None:
    """Wait until the process handles SIGTERM: before that Python starts itself, where nothing can be handled."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.005)


PHASES = {
    "training": "train grid/aim --steps 100000 --track off --output run{}",
    "decoding": "encode model photos -o x{}.npz",
    "an index": "search model --index index{} --images photos",  # another each time: one that is there is not made
}


@pytest.mark.skipif("AIMGAN_SLOW" not in os.environ, reason="minutes: set AIMGAN_SLOW=1")
@pytest.mark.parametrize("phase", PHASES)
def test_two_signals_at_ten_moments(tmp_path, phase):
    import files

    files.model().save(tmp_path / "model")
    (tmp_path / "photos").mkdir()
    Image.new("L", (3_000, 3_000)).save(tmp_path / "photos" / "0.png")
    for k in range(1, 40):
        os.link(tmp_path / "photos" / "0.png", tmp_path / "photos" / f"{k}.png")
    begun = time.monotonic()
    whole = started(PHASES[phase].format("").split(), tmp_path) if phase != "training" else None
    length = 12.0
    if whole is not None:
        whole.communicate()
        length = time.monotonic() - begun
    for k in range(MOMENTS):
        process = started(PHASES[phase].format(k).split(), tmp_path)
        wait_for_program(process)
        time.sleep(0.7 * k * length / MOMENTS)  # the machine may be faster than it was
        process.send_signal(signal.SIGINT)
        time.sleep(AFTER)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 130, (k, process.returncode, error)
        assert error.count("\n") == 1, (k, error)
        assert error.startswith("aimgan: "), (k, error)


def test_a_run_whose_output_nobody_reads_keeps_its_checkpoint(tmp_path):
    words = "train grid/gan --steps 200000 --track off --output run"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "aimgan", *words.split()],
        cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=200, check=False,
    )  # fmt: skip
    os.close(writer)
    error = done.stderr
    assert done.returncode == 130
    assert error.count("\n") == 1
    assert "stopped after step" in error
    assert list((tmp_path / "run" / "checkpoints").iterdir())
