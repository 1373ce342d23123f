from __future__ import annotations

import os

import pytest
import torch

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before SciPy is imported: scikit-learn's own checks ask for it

torch.set_num_threads(1)  # the networks here are tiny: more threads only wait for each other


@pytest.fixture(autouse=True)
def _same_draws_every_time() -> None:
    torch.manual_seed(0)
