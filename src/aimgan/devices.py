"""The device on which a model is trained and used."""

from __future__ import annotations

import torch

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
