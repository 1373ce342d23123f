from __future__ import annotations

import pytest
import torch

from aimgan.errors import AimganError
from aimgan.metrics import sharpness


def images(n: int = 20, side: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_edges_and_borders_one_pixel_at_a_time():
    x, y = images(2, 8).double(), images(3, 8)[1:].double()
    across = [(a[..., i, j + 1] - a[..., i, j]).abs().mean() for a in (x, y) for i in range(8) for j in range(7)]
    down = [(a[..., i + 1, j] - a[..., i, j]).abs().mean() for a in (x, y) for i in range(7) for j in range(8)]
    ours, theirs = (sum(across[k : k + 56]) + sum(down[k : k + 56]) for k in (0, 56))
    border = [(x - y)[..., i, j].square().mean() for i in range(8) for j in range(8) if {i, j} & {0, 7}]
    found = sharpness(x.float(), y.float())
    assert found["edge_sharpness"] == pytest.approx(float(theirs / ours), rel=1e-5)
    assert found["border_mse"] == pytest.approx(float(sum(border) / len(border)), rel=1e-5)


def test_flat_images_and_bad_input():
    flat = torch.full((3, 1, 8, 8), 0.5)
    assert sharpness(flat, images(3, 8)[:, :1])["edge_sharpness"] == 0.0
    with pytest.raises(AimganError, match="got 0 samples"):
        sharpness(images(0), images(0))
