"""From images to codes as fast as the cores allow: each thread has a chunk decoded, then encodes it, by itself.

A thread that only had images decoded would leave its core idle, or take it from one that encodes; this way every core
has work until the last chunk, whichever of the two costs more, and torch's own threads need not wait for each other.
Small images are decoded by Python more than by C: a process does it for each thread, which Python's lock would hold up.
Until that has started the threads decode by themselves: the pixels are the same.
A chunk is encoded by one thread, as one batch: its codes have the same bits on any number of threads.
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
from queue import SimpleQueue
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from aimgan.data.decode import Opener, UndecodableError, decode, quiet
from aimgan.data.decoder import Decoder
from aimgan.data.image_set import as_float
from aimgan.data.sources import Listing, Skipped, Tag
from aimgan.errors import AimganError
from aimgan.model import LatentVariableModel

CHUNK = 64  # images that a thread decodes and encodes at a time: their layers fit in what malloc keeps, of 128 not
AHEAD = 2  # chunks for each thread that wait or are ready: what bounds the memory

Item = tuple[Tag, Opener]
File = Path | BytesIO


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
    decoders = [Decoder() for _ in range(workers)] if images.total > CHUNK else []
    idle = SimpleQueue[Decoder]()
    for decoder in decoders:
        idle.put(decoder)
    alone: Callable[[int], None] = torch.set_num_threads
    try:
        with quiet(), _threads_kept(), ThreadPoolExecutor(workers, initializer=alone, initargs=(1,)) as pool:
            work = partial(_encode, model, known, idle if decoders else None)
            yield from _in_order(pool, work, _chunks(images.items), AHEAD * workers)
    finally:
        for decoder in decoders:
            decoder.stop()


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


def _encode(
    model: LatentVariableModel, known: Container[int], idle: SimpleQueue[Decoder] | None, chunk: list[Item]
) -> Encoded:
    done = Encoded([], [], [], np.empty((0, model.dim), np.float32), [])
    found = [_found(tag.name, opener) for tag, opener in chunk]
    wanted = [file for file, key in found if isinstance(key, int) and key not in known]
    channels, side, _ = model.shape
    decoded = iter(_decoded(wanted, np.empty((len(wanted), channels, side, side), np.uint8), idle))
    pixels = []
    for (tag, _), (_, key) in zip(chunk, found, strict=True):
        image = key if isinstance(key, str) else None if key in known else next(decoded)
        if isinstance(image, str):
            done.skipped.append(Skipped(tag.name, image))
            continue
        if image is not None:
            pixels.append(image)
            done.new.append(len(done.keys))
        done.names.append(tag.name)
        done.keys.append(cast(int, key))
    if not pixels:
        return done
    mean = model.encode(as_float(torch.from_numpy(np.stack(pixels)))).mean
    return done._replace(codes=mean.float().cpu().numpy())


def _found(name: str, opener: Opener) -> tuple[File, int | str]:
    """Open an image; return it with its key, or with the reason why there is none."""
    try:
        file = opener()
        return file, _key(name, file)
    except UndecodableError as reason:
        return BytesIO(), str(reason)


def _decoded(
    files: list[File], rows: UInt8[np.ndarray, "n c s s"], idle: SimpleQueue[Decoder] | None
) -> Iterator[UInt8[np.ndarray, "c s s"] | str]:
    """Yield each image's pixels, or why there are none: what a process cannot decode is tried here, which says why."""
    good = np.zeros(len(files), bool)
    if idle is not None and files:
        decoder = idle.get()  # there are as many as threads
        try:
            good = decoder.decode(list(files), rows, wait=False)
        finally:
            idle.put(decoder)
    for file, row, is_good in zip(files, rows, good, strict=True):
        try:
            yield row if is_good else decode(lambda file=file: file, rows.shape[-1], rows.shape[1])  # type: ignore[misc]
        except UndecodableError as reason:
            yield str(reason)


def _key(name: str, file: File) -> int:
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
