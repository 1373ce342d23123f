"""From images to codes as fast as the cores allow: each thread decodes a chunk, then encodes it, by itself.

A thread that only decoded would leave its core idle, or take it from one that encodes; this way every core has work
until the last chunk, whichever of the two costs more, and torch's own threads need not wait for each other. A chunk is
encoded by one thread, as one batch: its codes have the same bits on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32

from aimgan.data.decode import Pixels, Stored, UndecodableError, quiet
from aimgan.data.decoding import AHEAD, Decoder, Form, in_order, workers
from aimgan.data.image_set import as_float
from aimgan.data.listing import Listing
from aimgan.data.names import Skipped
from aimgan.errors import AimganError
from aimgan.model import LatentVariableModel

CHUNK = 64  # images that a thread decodes and encodes at a time: their layers fit in what malloc keeps, of 128 not


class Encoded(NamedTuple):
    """A chunk of the source: its good images' names and keys, and the codes of those among them that are `new`."""

    names: list[str]
    keys: list[int]
    new: list[int]
    codes: Float32[np.ndarray, "new d"]
    skipped: list[Skipped]


def encoded(
    model: LatentVariableModel, source: str, images: Listing, known: Container[int] = (), threads: int | None = None
) -> Iterator[Encoded]:
    """Yield a source's posterior means, CHUNK of its images at a time, in its order; images in `known` only by key.

    A key is a hash of the name and of the file's size and time (of its bytes, where they are part of a larger file).
    Broken images are listed, never raised. `threads`: one a core by default.
    """
    channels, side, _ = model.shape
    work = partial(_encode, model, images, known, Decoder(source, images, Form(side, channels, model.config.scale)))
    parts = (range(k, min(k + CHUNK, len(images))) for k in range(0, len(images), CHUNK))
    threads = threads or workers()
    alone: Callable[[int], None] = torch.set_num_threads
    with quiet(), _threads_kept(), ThreadPoolExecutor(threads, initializer=alone, initargs=(1,)) as pool:
        for _, done in in_order(pool, work, parts, AHEAD * threads):
            yield done


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


def _encode(
    model: LatentVariableModel, images: Listing, known: Container[int], decoder: Decoder, part: range
) -> Encoded:
    done = Encoded([], [], [], np.empty((0, model.dim), np.float32), [])
    pixels: list[Pixels] = []
    for k in part:
        name = images.names[k]
        try:
            stored = images.open(k)
            key = _key(name, stored)
            if key not in known:
                pixels.append(decoder(partial(_again, stored)).pixels)
                done.new.append(len(done.keys))
        except UndecodableError as reason:
            done.skipped.append(Skipped(name, str(reason)))
            continue
        done.names.append(name)
        done.keys.append(key)
    if not pixels:
        return done
    mean = model.encode(as_float(torch.from_numpy(np.stack(pixels)))).mean
    return done._replace(codes=mean.float().cpu().numpy())


def _again(stored: Stored) -> Stored:
    """Return a file that was opened, to be read from its begin."""
    if isinstance(stored, BytesIO):
        stored.seek(0)
    return stored


def _key(name: str, stored: Stored) -> int:
    """Return 64 bits that change with an image's name or content."""
    digest = blake2b(name.encode("utf-8", "surrogateescape") + b"\0", digest_size=8)
    try:
        if isinstance(stored, Path):
            status = stored.stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
        else:
            digest.update(stored.getbuffer() if isinstance(stored, BytesIO) else np.ascontiguousarray(stored).data)
    except OSError as error:
        raise UndecodableError(str(error.strerror)) from error
    return int.from_bytes(digest.digest(), "big")
