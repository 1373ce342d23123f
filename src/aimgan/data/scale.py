"""The scale of floats and 32-bit integers: which values are black and white in a whole data set.

The same number must be the same grey in every file, so the scale is not taken from each image by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

from aimgan.data.decode import DEEP, EIGHT_BITS, FORMATS, MAX_PIXELS, Opener, Scale, is_sixteen_bits
from aimgan.errors import AimganError

USUAL: tuple[Scale, ...] = ((0.0, 1.0), EIGHT_BITS, (0.0, 65535.0))


def scale_of(source: str, openers: Iterable[Opener]) -> Scale:
    """Return the first usual scale that fits all floats and 32-bit integers: [0, 1], [0, 255] or [0, 65535].

    Raises AimganError if none of them fits.
    """
    low, high = np.inf, -np.inf
    for opener in openers:
        values = _values(opener)
        if values is not None and np.isfinite(values).all():
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    for scale in USUAL:
        if low >= scale[0] and high <= scale[1]:
            return scale
    raise AimganError(
        f"{source!r} has images of floats or 32-bit integers with values from {low:g} to {high:g}; expected a usual "
        f"scale (0 to 1, to 255, to 65535): say what is black and white, --set data.black={low:g} "
        f"--set data.white={high:g}"
    )


def _values(opener: Opener) -> np.ndarray | None:
    """Return the values of an image that needs a scale; None for any other image, and for one that is broken."""
    try:
        stored = opener()
        if isinstance(stored, np.ndarray):
            return None
        with Image.open(stored, formats=FORMATS) as image:
            if image.mode not in DEEP or is_sixteen_bits(image) or image.width * image.height > MAX_PIXELS:
                return None
            return np.asarray(image)
    except AimganError:  # a problem with the source as a whole
        raise
    except Exception:  # Pillow raises nearly anything for a damaged file; decoding will report the file
        return None
