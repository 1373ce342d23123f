"""Commands run in forked children, with harm done to them at a chosen system call (injection.c says which)."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = "FAULT_LIBRARY"


@dataclass(frozen=True)
class Fault:
    """Harm of a kind of injection.c at system call `at`; `number` is the error's."""

    kind: str
    at: int
    number: int = 0


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code, or minus the signal; its output, its errors, the calls that were reported."""

    code: int
    said: str
    errors: str
    calls: list[str]


def missing() -> str:
    """Say why nothing can be injected here, or nothing."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return "the library is for 64-bit Linux"
    return "" if shutil.which("gcc") else "there is no gcc to compile the library with"


def preloaded(scratch: Path) -> int:
    """Compile the library, run this program anew with it, with one thread and no network, and return its exit code."""
    library = scratch / "injection.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "injection.c", "-pthread"], check=True)
    added = {"LD_PRELOAD": str(library), LIBRARY: str(library), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, *sys.argv], env={**os.environ, **added}, check=False).returncode


def library() -> ctypes.CDLL:
    """Return the preloaded library."""
    found = ctypes.CDLL(os.environ[LIBRARY])
    found.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_char, ctypes.c_long, ctypes.c_long, ctypes.c_int]
    found.fault_kill_after.argtypes = [ctypes.c_long]
    return found


def start(act: Callable[[], None], folder: Path, scratch: Path, fault: Fault | None = None) -> int:
    """Fork a child that does something, with a fault in the calls on a folder, and return its number."""
    files = [os.open(scratch / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC) for name in ("said", "errors", "calls")]
    child = os.fork()
    if child:
        for file in files:
            os.close(file)
        return child
    code = 70
    try:
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        if fault:
            library().fault_arm(os.fsencode(folder), fault.kind.encode(), fault.at, fault.number, files[2])
        act()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, scratch: Path) -> Ended:
    """Wait for a child's end."""
    _, status = os.waitpid(child, 0)
    said, errors, calls = ((scratch / name).read_text(errors="replace") for name in ("said", "errors", "calls"))
    return Ended(os.waitstatus_to_exitcode(status), said, errors, calls.splitlines())


def wait_for_stop(child: int) -> bool:
    """Wait until a child stops itself; False if it ended without."""
    return os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])


def run(act: Callable[[], None], folder: Path, scratch: Path, fault: Fault | None = None) -> Ended:
    """Fork a child that does something, and wait for its end."""
    return wait(start(act, folder, scratch, fault), scratch)
