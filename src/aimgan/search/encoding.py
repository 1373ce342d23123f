"""From images to codes: each thread decodes a chunk of images and then encodes it.

This way every core has work until the last chunk, whether decoding or encoding takes longer. A chunk is encoded by one
thread as one batch, so its codes have the same bits on any number of threads.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
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

CHUNK = 64  # images that a thread takes at a time: malloc keeps the memory of their layers, but not of 128


class Encoded(NamedTuple):
    """A chunk of the source: the names and keys of its good images, and the codes of those that are `new`."""

    names: list[str]
    keys: list[int]
    new: list[int]  # places in names and keys
    codes: Float32[np.ndarray, "new d"]
    skipped: list[Skipped]


def encoded(
    model: LatentVariableModel, source: str, images: Listing, known: Container[int] = (), threads: int | None = None
) -> Iterator[Encoded]:
    """Yield the posterior means of a source's images in its order, CHUNK at a time, without those whose key is known.

    A key is a hash of the name and of the file's size and time, or of the bytes if they are a part of a larger file.
    Broken images are listed. `threads` is one for each core by default.
    """
    channels, side, _ = model.shape
    decoder = Decoder(source, images, Form(side, channels, model.config.scale))
    work = partial(_encode, model, images, known, decoder)
    parts = [range(k, min(k + CHUNK, len(images))) for k in range(0, len(images), CHUNK)]
    threads = threads or workers()
    before = torch.get_num_threads()
    try:
        with quiet(), ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _, done in in_order(pool, work, parts, AHEAD * threads):
                yield done
    finally:
        torch.set_num_threads(before)  # the workers set it for the whole process


def require_encoder(model: LatentVariableModel) -> None:
    """Raise AimganError for a model without an encoder, or of points instead of images."""
    if model.E is None or len(model.shape) != 3:
        what = "no encoder" if model.E is None else f"points {model.shape}"
        raise AimganError(f"this model ({model.config.objective}) has {what}; expected one that encodes images")


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
                pixels.append(decoder(partial(_rewound, stored)).pixels)
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


def _rewound(stored: Stored) -> Stored:
    if isinstance(stored, BytesIO):
        stored.seek(0)
    return stored


def _key(name: str, stored: Stored) -> int:
    """Return 64 bits that change with an image's name or content."""
    digest = blake2b(name.encode("utf-8", "surrogateescape") + b"\0", digest_size=8)
    if isinstance(stored, Path):
        try:
            status = stored.stat()
        except OSError as error:
            raise UndecodableError(str(error.strerror)) from error
        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    elif isinstance(stored, BytesIO):
        digest.update(stored.getbuffer())
    else:
        digest.update(np.ascontiguousarray(stored).data)
    return int.from_bytes(digest.digest(), "big")
