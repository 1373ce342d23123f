from __future__ import annotations

from collections.abc import Iterator

import pytest
from jaxtyping import config


@pytest.fixture(autouse=True)
def _as_for_users(monkeypatch) -> Iterator[None]:
    """Turn the tests' own shape checks off, which users do not have, and keep the Hub's client at home."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
