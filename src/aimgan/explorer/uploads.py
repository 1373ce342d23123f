"""What a browser hands over: one image, limited in bytes and pixels, read by the decoder that reads everything else."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.data.decode import EIGHT_BITS, Scale, UndecodableError, decode, quiet
from aimgan.data.image_set import as_float
from aimgan.errors import AimganError

MAX_BYTES = 20 * 2**20  # of an upload; its pixels are limited by the decoder (docs/security.md)


def read_upload(path: str | Path, shape: tuple[int, ...], scale: Scale | None = None) -> Float[Tensor, "c h w"]:
    """Return an uploaded image as a model takes it: its central square, at the model's size, in [0, 1].

    `scale` is what black and white are in images of floats, as the model was trained on them. Raises AimganError for
    a file over MAX_BYTES, and for what is no image that can be read.
    """
    channels, side, _ = shape
    file = Path(path)
    try:
        size = file.stat().st_size
    except OSError as reason:
        raise AimganError(f"the upload cannot be read ({reason.strerror}): send it again") from None
    if size > MAX_BYTES:
        raise AimganError(f"{file.name} has {size / 2**20:,.0f} MiB; expected at most {MAX_BYTES // 2**20}: scale it")
    with quiet():
        try:
            pixels = decode(lambda: file, side, channels, scale or EIGHT_BITS)
        except UndecodableError as reason:
            raise AimganError(f"{file.name} is no image that can be read: {reason}") from None
    return as_float(torch.tensor(pixels)[None])[0]
