from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)  # the networks here are tiny: more threads only wait for each other


@pytest.fixture(autouse=True)
def _same_draws_every_time() -> None:
    torch.manual_seed(0)
