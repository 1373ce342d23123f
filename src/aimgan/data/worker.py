"""A process that decodes images: requests come on its standard input, pixels go to its standard output.

A request is a line of JSON, [size, channels, [...]] with an image's path each, or the arguments of `read`, or its
length; and then the bytes of those that have a length. The answer is a byte for each image, 1 if it could be decoded,
and then the pixels of all.
The file is run by its path: as a part of the package it would load torch, and decode.py is all that it needs.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

READY = b"\n"


def main() -> None:
    """Answer requests until there are no more: the parent closed the pipe, or is not there any longer."""
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.SIG_IGN)  # the parent's to hear, which may want another batch
    decoding = _decoding()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    try:
        with decoding.quiet():
            answers.write(READY)
            answers.flush()
            while line := requests.readline():
                answer(line, requests, answers, decoding.decode, decoding.UndecodableError)
    except BrokenPipeError:
        os._exit(1)  # an ordinary exit would flush, and complain that it cannot


def answer(
    line: bytes, requests: BinaryIO, answers: BinaryIO, decode: Callable[..., np.ndarray], broken: type[Exception]
) -> None:
    """Answer one request."""
    size, channels, images = json.loads(line)
    good, pixels = bytearray(len(images)), np.zeros((len(images), channels, size, size), np.uint8)
    for k, image in enumerate(images):
        opened = partial(_opened, BytesIO(requests.read(image)) if isinstance(image, int) else image)
        try:
            pixels[k] = decode(opened, size, channels)
            good[k] = 1
        except broken:
            pass  # the parent will find what is wrong with it
    answers.write(good)
    answers.write(pixels.data)
    answers.flush()


def _opened(image: BytesIO | str | list[Any]) -> BytesIO | Path:
    if isinstance(image, BytesIO):
        return image
    return Path(image) if isinstance(image, str) else BytesIO(read(*image))


def read(path: str, size: int, modified: int, offset: int, length: int) -> bytes:
    """Read bytes of a file that was of this size, and of this time in nanoseconds. Raises OSError if it is not now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        now = os.fstat(descriptor)
        if (now.st_size, now.st_mtime_ns) != (size, modified):
            raise OSError(errno.ESTALE, "it was changed")
        return os.pread(descriptor, length, offset)
    finally:
        os.close(descriptor)


def _decoding() -> Any:
    spec = spec_from_file_location("decode", Path(__file__).with_name("decode.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
