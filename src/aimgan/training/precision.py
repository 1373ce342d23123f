"""How many bits a product of float32 numbers is computed with on a GPU: float32's own, TF32's, or bfloat16's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

PRECISIONS = ("no", "tf32", "bf16")


def mixed(precision: str) -> str:
    """Return what Accelerate calls mixed precision: TF32 is none, since tensors stay float32."""
    return "bf16" if precision == "bf16" else "no"


@contextmanager
def float32_products(precision: str, device: torch.device | str) -> Iterator[None]:
    """Multiply matrices and convolve in TF32 ("tf32") or in full float32 ("no", "bf16") inside the block, on a GPU.

    torch alone would take TF32 for convolutions and not for matrices. Nothing changes on a CPU.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    before = [(module, name, getattr(module, name)) for module, name in _switches()]
    try:
        for module, name, _ in before:
            setattr(module, name, _value(name, precision == "tf32"))
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _switches() -> list[tuple[Any, str]]:
    """torch 2.9 gave each operation a setting of its own; its two APIs must not be mixed."""
    matmul: Any = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return [(matmul, "fp32_precision"), (torch.backends.cudnn.conv, "fp32_precision")]  # type: ignore[attr-defined]
    return [(matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32")]


def _value(name: str, tf32: bool) -> bool | str:
    if name == "allow_tf32":
        return tf32
    return "tf32" if tf32 else "ieee"
