"""What black and white are where images are of floats or 32-bit integers: one scale for a data set.

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
    """Return the usual scale that the data set's floats and 32-bit integers fit in: [0, 1], [0, 255] or [0, 65535].

    Raises AimganError where they fit in none, which says how to give one.
    """
    low, high = np.inf, -np.inf
    for opener in openers:
        for least, most in _range(opener):
            low, high = min(low, least), max(high, most)
    for scale in USUAL:
        if low >= scale[0] and high <= scale[1]:
            return scale
    raise AimganError(
        f"{source!r} has images of floats or 32-bit integers with values from {low:g} to {high:g}; expected a usual "
        f"scale (0 to 1, to 255, to 65535): say what is black and white, --set data.black={low:g} "
        f"--set data.white={high:g}"
    )


def _range(opener: Opener) -> Iterable[tuple[float, float]]:
    """Yield the least and the largest value of an image that needs a scale; nothing of any other, or a broken one."""
    try:
        stored = opener()
        if isinstance(stored, np.ndarray):
            return
        with Image.open(stored, formats=FORMATS) as image:
            if image.mode not in DEEP or is_sixteen_bits(image) or image.width * image.height > MAX_PIXELS:
                return
            values = np.asarray(image)
    except AimganError:  # of the source as a whole
        raise
    except Exception:  # Pillow's readers raise nearly anything; decoding will name the file
        return
    if np.isfinite(values).all():
        yield float(values.min()), float(values.max())
