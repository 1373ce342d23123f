from __future__ import annotations

from collections.abc import Iterator

import pytest
from jaxtyping import config


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Turn the tests' shape checks off, to see what users, who have none, are told."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
