"""What a model's calls are given, checked before it passes the networks: images, points and codes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aimgan.errors import AimganError

TOLERANCE = 0.01  # beyond [0, 1]: above 1, bfloat16 goes in steps of 1/128
OVERSHOT = 0.2  # how far a sharp filter can lead beyond [0, 1]


def require_tensor(x: Any, name: str, shape: tuple[int, ...], images: bool) -> None:
    """Raise AimganError for what is no dense float tensor (n, *shape)."""
    dense = isinstance(x, Tensor) and x.layout == torch.strided and not x.is_meta and not x.is_nested
    if dense and x.ndim > 0 and tuple(x.shape[1:]) == shape and x.is_floating_point():
        return
    got = f"{x.dtype} {tuple(x.shape)}" if hasattr(x, "shape") else type(x).__name__
    unit = " in [0, 1]" if images else ""
    fix = ": divide it by 255" if images and "int" in str(getattr(x, "dtype", "")) else ""
    raise AimganError(f"{name} is {got}; expected a float tensor (n, {', '.join(map(str, shape))}){unit}{fix}")


def require_numbers(low: float, high: float, name: str, images: bool) -> None:
    """Raise AimganError for numbers from `low` to `high` that are not finite or, of images, not in [0, 1].

    Rounding may lead beyond it by TOLERANCE.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        unit = " in [0, 1]" if images else ""
        raise AimganError(f"{name} holds NaN or infinite values; expected finite numbers{unit}")
    if images and not -TOLERANCE <= low <= high <= 1 + TOLERANCE:
        expected = f"expected images in [0, 1] (within {TOLERANCE})"
        raise AimganError(f"{name} ranges from {low:.4g} to {high:.4g}; {expected}: {_fix(low, high)}")


def _fix(low: float, high: float) -> str:
    """Return what most likely brings images to [0, 1]: they are in [0, 255], in [-1, 1], resampled or normalised."""
    if max(-low, high - 1) <= OVERSHOT:
        return "clamp it if resampling led beyond, or take (x + 1) / 2 if it is in [-1, 1]"
    if low >= -TOLERANCE:
        return "divide it by 255" if high < 300 else "divide it by 65,535, if its pixels have 16 bits"
    if low >= -1 - TOLERANCE and high <= 1 + TOLERANCE:
        return "take (x + 1) / 2"
    return "undo its normalisation"


def range_of(x: Tensor, like: Tensor, rows: int) -> tuple[float, float]:
    """Return the smallest and the largest number of x, NaN where there is one, on the device and in the type of `like`.

    One pass, `rows` rows at once, and one synchronisation.
    """
    if not x.numel():
        return 0.0, 0.0
    parts = torch.stack([torch.stack(torch.aminmax(chunk.to(like))) for chunk in x.detach().split(rows)])
    low, high = torch.stack((parts[:, 0].amin(), parts[:, 1].amax())).tolist()
    return low, high
