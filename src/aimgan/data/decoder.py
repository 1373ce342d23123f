"""A process that decodes, seen from the side of who needs the pixels (worker.py is the other).

Not multiprocessing, nor torch's DataLoader over it: their processes run the user's script again where it has no
`if __name__` guard, load torch, and may outlive a parent that was killed. Here all that is shared are two pipes, whose
ends tell either side that the other is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from aimgan.data.worker import READY
from aimgan.errors import AimganError

PIPE = 2**20  # bytes, the most that the kernel gives everyone: an answer of 80 images of 64 x 64 fits


class Stamp(NamedTuple):
    """A file as it was when it was indexed."""

    path: str
    size: int
    modified: int  # nanoseconds


class Extent(NamedTuple):
    """Bytes of a file, which are an image's."""

    file: Stamp
    offset: int
    length: int


Content = Path | Extent | BytesIO | np.ndarray  # as stored: a file, a part of one, one in memory, pixels


class Decoder:
    """One process, begun with its first request. Where there can be no process, nothing is decoded."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = self._ready = False

    def decode(
        self, images: list[Content | None], rows: UInt8[np.ndarray, "n c s s"], wait: bool = True
    ) -> Bool[np.ndarray, " n"]:
        """Decode images into rows; return which could be: files. Raises AimganError for a process that is lost.

        It takes 0.3 s until the process can decode. Without `wait`, nothing is decoded before.
        """
        if not self._begun:
            self._process, self._begun = _begin(), True
        if not self._is_ready(wait):
            return np.zeros(len(images), bool)
        asked = [_asked(image) for image in images]
        request = json.dumps([rows.shape[-1], rows.shape[1], asked]).encode() + b"\n"
        try:
            self._send(request + b"".join(image.getvalue() for image in images if isinstance(image, BytesIO)))
            good = np.empty(len(images), bool)
            self._receive(good.view(np.uint8))
            self._receive(rows)
        except (OSError, EOFError) as error:
            raise self._lost() from error
        return good

    def stop(self) -> None:
        """End the process; it has no state."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _is_ready(self, wait: bool) -> bool:
        if self._process is None or self._ready:
            return self._ready
        assert self._process.stdout is not None
        if not wait:
            said = select.poll()
            said.register(self._process.stdout, select.POLLIN)
            if not said.poll(0):
                return False
        self._ready = self._process.stdout.read(len(READY)) == READY
        if not self._ready:
            self.stop()
            self._process = None
        return self._ready

    def _send(self, content: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(content)
        self._process.stdin.flush()

    def _receive(self, array: np.ndarray) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        read: int = self._process.stdout.readinto(array.reshape(-1).data)  # type: ignore[attr-defined]
        if read < array.nbytes:
            raise EOFError

    def _lost(self) -> AimganError:
        assert self._process is not None
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return AimganError(
            f"a process that decodes images ended {how} while it was needed (9: probably for want of memory, "
            "lower data.buffer or batch_size then); run the same command again"
        )


def _asked(image: Content | None) -> str | int | tuple[str | int, ...]:
    """Tell worker.py where an image is; nowhere, where there is none to be decoded."""
    if isinstance(image, Extent):
        return (*image.file, image.offset, image.length)
    if isinstance(image, BytesIO):
        return len(image.getvalue())
    return str(image) if isinstance(image, Path) else 0


def _begin() -> subprocess.Popen[bytes] | None:
    """Start a process. Return None where there can be none."""
    worker = Path(__file__).with_name("worker.py")
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl+C is for the parent
        )
    except (OSError, TypeError):  # TypeError: a program that Python is a part of has no sys.executable
        return None
    assert process.stdin is not None
    assert process.stdout is not None
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError, AttributeError):  # not on macOS, nor where a user has many pipes already
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
    return process
