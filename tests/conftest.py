from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import config as jaxtyping_config

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before SciPy is imported: scikit-learn's own checks ask for it

torch.set_num_threads(1)  # the networks here are tiny: more threads only wait for each other


@pytest.fixture(autouse=True)
def _same_draws_every_time() -> None:
    torch.manual_seed(0)


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Turn the tests' checks of shapes and types off, to see what users, who have none, are told."""
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)
