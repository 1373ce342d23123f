from __future__ import annotations

import torch
from sklearn.datasets import load_digits as sklearn_digits

from aimgan.data.digits import load_digits


def test_digits_are_scikit_learns_scaled_to_bytes():
    data = load_digits()
    original = sklearn_digits()
    pixels = torch.cat([data.train.pixels, data.test.pixels])
    assert data.shape == (1, 8, 8)
    assert (len(data.train), len(data.test)) == (1500, 297)
    assert pixels.dtype == torch.uint8
    assert pixels.max() == 255
    assert torch.equal((pixels[:, 0].double() * 16 / 255).round(), torch.from_numpy(original.images))
    assert torch.equal(torch.cat([data.train.labels, data.test.labels]), torch.from_numpy(original.target))
    assert (*data.train.names, *data.test.names) == tuple(f"image {i}" for i in range(1797))
    assert data.skipped == ()
    assert data.source == "scikit-learn digits"
