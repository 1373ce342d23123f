"""How products of float32 numbers are computed: as float32, TF32 or bfloat16; on a GPU in a fixed order or any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from aimgan.errors import AimganError, first_line

FLOAT32 = "no"  # Accelerate's name, and that in run.json
PRECISIONS = (FLOAT32, "tf32", "bf16")
AUTO = "auto"  # stands for one of them until a run begins (recipes/resolving.py)
NAMES = {"float32": FLOAT32}  # other names
SLOW = (
    "the run computes in bf16, which this processor does not multiply natively: a step may take several times as long "
    "as one of a new run (another --output) with --set precision=float32"
)


def multiplies_bf16(device: torch.device | str) -> bool:
    """Return whether a device multiplies bfloat16 natively (AVX512-BF16, AMX, GPUs since Ampere).

    Every GPU that has TF32 does. Other processors convert each number, and were eight times slower than in float32.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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


@contextmanager
def deterministic(wanted: bool | None, device: torch.device | str) -> Iterator[None]:
    """On a GPU, if `wanted`, use only kernels that give the same bits in each run. A CPU has no others.

    Several of cuDNN's kernels, and the gradient of bilinear upsampling, add in whatever order their threads finish.
    Raises AimganError for an operation of which torch has no deterministic kernel.
    """
    if not wanted or torch.device(device).type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it before its first product
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as reason:
        if "deterministic" not in str(reason):
            raise
        raise AimganError(f"deterministic is true, but {first_line(reason)}: leave it out") from None
    finally:
        torch.use_deterministic_algorithms(before)


def _switches() -> list[tuple[Any, str]]:
    """Return torch's settings: since torch 2.9 each operation has one of its own, and the old ones must not be used."""
    matmul: Any = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return [(matmul, "fp32_precision"), (torch.backends.cudnn.conv, "fp32_precision")]  # type: ignore[attr-defined]
    return [(matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32")]
