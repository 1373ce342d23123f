"""Validation of model inputs, and their mapping to the pixel range of the networks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aimgan.errors import AimganError

TOLERANCE = 0.01  # how far images may leave [0, 1] by rounding: above 1, bfloat16 goes in steps of 1/128
OVERSHOT = 0.2  # how far resampling with a sharp filter can lead beyond [0, 1]
CHUNK = 500  # samples that are checked, or pass through a network, at a time


def require_tensor(x: Any, name: str, shape: tuple[int, ...], images: bool) -> None:
    """Raise AimganError unless x is a dense float tensor (n, *shape)."""
    dense = isinstance(x, Tensor) and x.layout == torch.strided and not x.is_meta and not x.is_nested
    if dense and x.ndim > 0 and tuple(x.shape[1:]) == shape and x.is_floating_point():
        return
    got = f"{x.dtype} {tuple(x.shape)}" if hasattr(x, "shape") else type(x).__name__
    expected = f"a float tensor (n, {', '.join(map(str, shape))})"
    if images:
        expected += " in [0, 1]"
        if "int" in str(getattr(x, "dtype", "")):
            expected += ": divide it by 255"
    raise AimganError(f"{name} is {got}; expected {expected}")


def require_finite(x: Tensor, like: Tensor, name: str, images: bool) -> None:
    """Raise AimganError unless x has finite numbers in the type of `like`, in [0, 1] (within TOLERANCE) for images.

    The range is taken in one pass on the device of `like`, with a single synchronisation.
    """
    if not x.numel():
        return
    chunks = x.detach().split(CHUNK)
    extremes = torch.stack([torch.stack(torch.aminmax(chunk.to(like))) for chunk in chunks])
    low, high = torch.stack((extremes[:, 0].amin(), extremes[:, 1].amax())).tolist()
    if not (math.isfinite(low) and math.isfinite(high)):
        unit = " in [0, 1]" if images else ""
        raise AimganError(f"{name} has NaN or infinite values; expected finite numbers{unit}")
    if images and not -TOLERANCE <= low <= high <= 1 + TOLERANCE:
        expected = f"expected images in [0, 1] (within {TOLERANCE})"
        raise AimganError(f"{name} ranges from {low:.4g} to {high:.4g}; {expected}: {_fix(low, high)}")


def _fix(low: float, high: float) -> str:
    """Return the most likely fix: images may be in [0, 255] or [-1, 1], or resampled, or normalised."""
    if max(-low, high - 1) <= OVERSHOT:
        return "clamp it if resampling led beyond, or take (x + 1) / 2 if it is in [-1, 1]"
    if low >= -TOLERANCE and high < 300:
        return "divide it by 255"
    if low >= -TOLERANCE:
        return "divide it by 65,535, if its pixels have 16 bits"
    if low >= -1 - TOLERANCE and high <= 1 + TOLERANCE:
        return "take (x + 1) / 2"
    return "undo its normalisation"


def to_range(x: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Map images from [0, 1] to the pixel range of the networks. Points have no range and stay as they are."""
    if value_range in (None, (0.0, 1.0)):
        return x
    low, high = value_range
    return x * (high - low) + low


def from_range(x: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Map images from the pixel range of the networks to [0, 1]. Points have no range and stay as they are."""
    if value_range is None:
        return x
    low, high = value_range
    return (x - low) / (high - low)
