"""Every accumulator: parts of the data add up to the whole, in any order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aimgan.metrics import Calibration, FeatureMoments, ModeCounts, PixelMoments, ReconstructionError, WithinModes

MEANS, COVARIANCES = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.eye(4).repeat(3, 1, 1)


@pytest.mark.parametrize(
    "accumulate",
    [
        lambda x, y: Calibration.of(x, y, x - y),
        lambda x, y: FeatureMoments.of(x),
        lambda x, y: ModeCounts.of(x, MEANS, COVARIANCES),
        lambda x, y: PixelMoments.of(x),
        lambda x, y: ReconstructionError.of(x, y),
        lambda x, y: WithinModes.of(x, y, MEANS, COVARIANCES),
    ],
    ids=["Calibration", "FeatureMoments", "ModeCounts", "PixelMoments", "ReconstructionError", "WithinModes"],
)
@settings(max_examples=15, deadline=None)
@given(cut=st.integers(1, 59), seed=st.integers(0, 2**20))
def test_parts_add_to_the_whole_in_any_order(accumulate, cut, seed):
    source = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 60, 4, generator=source)
    order = torch.randperm(60, generator=source)
    first, second = (accumulate(x[part], y[part]) for part in (order[:cut], order[cut:]))
    torch.testing.assert_close(vars(first + second), vars(accumulate(x, y)))
