"""Files that verbs write: pictures, arrays, and one line for a place that cannot be written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import EACCES
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.files import replacing_file, require_replaceable

MAX_SHOWN = 10_000  # images in one picture


def require_writable(path: Path | None) -> Path | None:
    """Return the path of a file to write. Raises AimganError if it cannot be written, before work is done for it."""
    if path is not None:
        with _one_line(path):
            require_replaceable(path)
            folder = next(parent for parent in path.absolute().parents if parent.exists())
            if not folder.is_dir() or not os.access(folder, os.W_OK):
                raise OSError(EACCES, f"{folder} is no folder that you may write to")
    return path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the folder of a file that is to be written. Raises AimganError where the file cannot be written."""
    with _one_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as reason:  # ValueError: a null in the name
        line = getattr(reason, "strerror", None) or reason
        raise AimganError(f"cannot write {path} ({line}): choose another path") from None


def write(output: Path, arrays: Mapping[str, Tensor], picture: Tensor, columns: int) -> Path:
    """Write a .png of the picture (of the arrays, if they are points), or an .npz of the arrays.

    Raises AimganError for other endings, for pictures that are too large, and for values that are not finite.
    """
    if output.suffix.lower() == ".npz":
        return write_arrays(output, arrays)
    is_images = picture.ndim == 4
    if output.suffix.lower() != ".png" or not (is_images or picture.shape[1:] == (2,)):
        raise AimganError(f"--output is {output}; expected a name that ends in .png (2-D points or images) or .npz")
    if is_images and len(picture) > MAX_SHOWN:
        raise AimganError(f"a picture of {len(picture):,} images; expected at most {MAX_SHOWN:,}: write .npz")
    if not bool(picture.isfinite().all()):
        raise AimganError(
            "the model gives NaN or infinite values, which cannot be drawn: train it again, or write .npz"
        )
    from aimgan.figures import grid, points_figure, save  # here: matplotlib takes half a second

    with writing(output):
        if is_images:
            save(grid(picture.cpu(), columns), output)
        else:
            save(points_figure({name: points.cpu().reshape(-1, 2) for name, points in arrays.items()}), output)
    return output


def write_arrays(output: Path, arrays: Mapping[str, Tensor], **more: Any) -> Path:
    """Write an .npz of tensors and arrays."""
    values: dict[str, Any] = {name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()}
    with writing(output), replacing_file(output) as fresh, fresh.open("wb") as file:
        np.savez(file, **values, **more)
    return output
