"""Weights in a safetensors file, compared with the networks that they are for before memory is taken for either."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from aimgan.checked import regular, require_memory

FLOATS = ("F16", "BF16", "F32", "F64")  # the types in which a weight may be stored


def read_weights(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file, which must have the names and shapes of `expected` (tensors on "meta" will do).

    Raises ValueError, OSError or SafetensorError for other names, shapes or types, and for weights that are not finite.
    """
    size = regular(path).stat().st_size
    require_memory(2 * size, f"{path} and the networks", "take a smaller model")
    path.open("rb").close()  # raises PermissionError, where safetensors would say that the file does not exist
    with safe_open(path, "pt") as file:
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        _require_equal(found, expected)
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if not bool(tensor.to(expected[name].dtype).isfinite().all()):  # a float64 may be infinite as a float32
            raise ValueError(f"{name} holds NaN or infinite values")
    return tensors


def _require_equal(found: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless the stored tensors have the names, shapes and types that are expected."""
    missing, unexpected = expected.keys() - found.keys(), found.keys() - expected.keys()
    for problem, names in (("Missing key", missing), ("Unexpected key", unexpected)):
        if names:
            raise ValueError(f"{problem} {min(names)}, and {len(names) - 1} more")
    for name, tensor in expected.items():
        shape, kind = tuple(found[name].get_shape()), found[name].get_dtype()
        if shape != tuple(tensor.shape):
            raise ValueError(f"size mismatch for {name}: {shape} in the file, {tuple(tensor.shape)} expected")
        if kind not in (FLOATS if tensor.is_floating_point() else ("I64",)):
            raise ValueError(f"{name} has type {kind}, which is not a type of weights")
