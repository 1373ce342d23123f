"""The data set that needs no download: scikit-learn's 1,797 handwritten digits, 8 x 8."""

from __future__ import annotations

import numpy as np
import torch

from aimgan.data.image_data import ImageData, Split

TRAIN = 1500


def load_digits() -> ImageData:
    """Return the first 1,500 digits to train and the last 297 to test: (1, 8, 8), labelled 0 to 9.

    They are the test part of UCI's *Optical Recognition of Handwritten Digits* (Alpaydin & Kaynak, 1998). A pixel is
    the number of inked ones, 0 to 16, in a block of 4 x 4; here 16 becomes 255.
    """
    from sklearn.datasets import load_digits as load  # takes a second to import

    digits = load()
    pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))[:, None]
    labels = torch.from_numpy(digits.target.astype(np.int64))
    names = tuple(f"image {k}" for k in range(len(pixels)))
    train = Split(pixels[:TRAIN], labels[:TRAIN], names[:TRAIN])
    test = Split(pixels[TRAIN:], labels[TRAIN:], names[TRAIN:])
    return ImageData(train, test, (), "scikit-learn digits", by="")
