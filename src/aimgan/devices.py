"""The device on which a model is trained and used, and copies to it."""

from __future__ import annotations

import torch
from torch import Tensor

from aimgan.errors import AimganError

DEVICES = ("auto", "cpu", "cuda")


def resolved_device(name: str) -> str:
    """Return "cpu" or "cuda" for auto, cpu or cuda. Raises AimganError for another name, or where there is no GPU."""
    if name not in DEVICES:
        raise AimganError(f"unknown device {name!r}; expected {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise AimganError("device cuda was asked for, but torch sees no GPU here: use --device cpu, or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "cuda"


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on a device. A copy to a GPU is made from pinned memory, so that nothing waits for the GPU.

    From ordinary memory the copy would wait for all kernels of the steps before it.
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
