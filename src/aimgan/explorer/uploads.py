"""Uploaded images: limited in bytes and pixels, and read by the decoder that reads all other images."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.data.decode import EIGHT_BITS, Scale, UndecodableError, decode, quiet
from aimgan.data.image_set import as_float
from aimgan.errors import AimganError

MAX_BYTES = 20 * 2**20  # of an upload; the decoder limits its pixels (docs/security.md)


def read_upload(path: str | Path, shape: tuple[int, ...], scale: Scale | None = None) -> Float[Tensor, "c h w"]:
    """Return the central square of an uploaded image at the model's size, in [0, 1].

    `scale` is black and white of images of floats, as in training. Raises AimganError for a file that is larger than
    MAX_BYTES, or that cannot be read as an image.
    """
    channels, side, _ = shape
    file = Path(path)
    try:
        size = file.stat().st_size
    except OSError as reason:
        raise AimganError(f"the upload cannot be read ({reason.strerror}): send it again") from None
    if size > MAX_BYTES:
        raise AimganError(f"{file.name} has {size / 2**20:,.0f} MiB; expected at most {MAX_BYTES // 2**20}: scale it")
    try:
        with quiet():
            pixels = decode(lambda: file, side, channels, scale or EIGHT_BITS)
    except UndecodableError as reason:
        raise AimganError(f"{file.name} cannot be read as an image: {reason}") from None
    return as_float(torch.tensor(pixels)[None])[0]


def remove_upload(path: str | Path) -> None:
    """Remove an upload that has been read, and no file outside the folder of uploads."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", "nowhere")).resolve()
    if folder in Path(path).resolve().parents:
        Path(path).unlink(missing_ok=True)
