"""From images to codes as fast as the cores allow: each thread decodes a chunk of images and encodes it, by itself.

A thread that only decoded would leave its core idle, or take it from one that encodes; this way every core has work
until the last chunk, whichever of the two costs more, and torch's own threads need not wait for each other. A chunk is
encoded by one thread, as one batch: its codes have the same bits on any number of threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float32

from aimgan.data.decode import Opener, UndecodableError, decode, quiet
from aimgan.data.image_set import as_float
from aimgan.data.sources import Listing, Skipped, Tag
from aimgan.errors import AimganError
from aimgan.model import LatentVariableModel

CHUNK = 128  # images that a thread decodes and encodes at a time
AHEAD = 2  # chunks for each thread that wait or are ready: what bounds the memory

Item = tuple[Tag, Opener]


class Encoded(NamedTuple):
    """A chunk of the source: its good images' names and keys, and the codes of those among them that are `new`."""

    names: list[str]
    keys: list[int]
    new: list[int]
    codes: Float32[np.ndarray, "new d"]
    skipped: list[Skipped]


def encoded(
    model: LatentVariableModel, images: Listing, known: Container[int] = (), workers: int | None = None
) -> Iterator[Encoded]:
    """Yield a source's posterior means, CHUNK of its images at a time, in its order; images in `known` only by key.

    A key is a hash of the name and of the file's size and time (of its bytes, where they are part of a larger file).
    Broken images are listed, never raised. `workers` threads: one a core by default.
    """
    workers = workers or len(os.sched_getaffinity(0))
    alone: Callable[[int], None] = torch.set_num_threads
    with quiet(), _threads_kept(), ThreadPoolExecutor(workers, initializer=alone, initargs=(1,)) as pool:
        yield from _in_order(pool, partial(_encode, model, known), _chunks(images.items), AHEAD * workers)


def require_encoder(model: LatentVariableModel) -> None:
    """Raise AimganError for a model that has no encoder, or is not of images."""
    if model.E is None or len(model.shape) != 3:
        what = "no encoder" if model.E is None else f"points {model.shape}"
        raise AimganError(f"this model ({model.config.objective}) has {what}; expected one that encodes images")


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Undo what the workers set for the whole process."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[list[Item]], Encoded], chunks: Iterable[list[Item]], ahead: int
) -> Iterator[Encoded]:
    waiting: deque[Future[Encoded]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(work, chunk))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt waits for what is being done, not for what is queued


def _encode(model: LatentVariableModel, known: Container[int], chunk: list[Item]) -> Encoded:
    done = Encoded([], [], [], np.empty((0, model.dim), np.float32), [])
    channels, side, _ = model.shape
    pixels = []
    for tag, opener in chunk:
        try:
            file = cast(Path | BytesIO, opener())
            key = _key(tag.name, file)
            if key not in known:
                pixels.append(decode(lambda file=file: file, side, channels))  # type: ignore[misc]
                done.new.append(len(done.keys))
            done.names.append(tag.name)
            done.keys.append(key)
        except UndecodableError as reason:
            done.skipped.append(Skipped(tag.name, str(reason)))
    if not pixels:
        return done
    mean = model.encode(as_float(torch.from_numpy(np.stack(pixels)))).mean
    return done._replace(codes=mean.float().cpu().numpy())


def _key(name: str, file: Path | BytesIO) -> int:
    """Return 64 bits that change with an image's name or content."""
    digest = blake2b(name.encode("utf-8", "surrogateescape") + b"\0", digest_size=8)
    try:
        digest.update(file.getbuffer() if isinstance(file, BytesIO) else _stamp(file))
    except OSError as error:
        raise UndecodableError(str(error.strerror)) from error
    return int.from_bytes(digest.digest(), "big")


def _stamp(path: Path) -> bytes:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}".encode()
