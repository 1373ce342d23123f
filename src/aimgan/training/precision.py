"""The precision in which a GPU multiplies float32 numbers: float32's own, TF32's, or bfloat16's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

PRECISIONS = ("no", "tf32", "bf16")


def mixed(precision: str) -> str:
    """Return Accelerate's name of a precision. TF32 is no mixed precision: tensors stay float32."""
    return "bf16" if precision == "bf16" else "no"


@contextmanager
def float32_products(precision: str, device: torch.device | str) -> Iterator[None]:
    """On a GPU, compute products of float32 numbers in TF32 ("tf32") or in float32 ("no", "bf16") inside the block.

    By itself torch uses TF32 for convolutions and float32 for matrices.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    tf32 = precision == "tf32"
    before = [(module, name, getattr(module, name)) for module, name in _switches()]
    try:
        for module, name, _ in before:
            value: bool | str = tf32
            if name == "fp32_precision":
                value = "tf32" if tf32 else "ieee"
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _switches() -> list[tuple[Any, str]]:
    """Return torch's settings: since torch 2.9 each operation has one of its own, and the old ones must not be used."""
    matmul: Any = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return [(matmul, "fp32_precision"), (torch.backends.cudnn.conv, "fp32_precision")]  # type: ignore[attr-defined]
    return [(matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32")]
