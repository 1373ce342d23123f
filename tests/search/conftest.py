from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny, write

from aimgan.model import LatentVariableModel
from aimgan.search import encoding, index


@pytest.fixture
def model() -> LatentVariableModel:
    return tiny()


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch) -> None:
    monkeypatch.setattr(encoding, "CHUNK", 8)
    monkeypatch.setattr(index, "LINE", 8)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Forty images, two broken ones among them."""
    for k in range(40):
        write(tmp_path / "photos" / f"{k:02d}.png", k)
    (tmp_path / "photos" / "07.png").write_bytes(b"no image")
    (tmp_path / "photos" / "30.png").write_bytes(b"")
    return tmp_path / "photos"


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """How many images each call of `encode` has had."""
    sizes: list[int] = []
    encode = LatentVariableModel.encode
    monkeypatch.setattr(LatentVariableModel, "encode", lambda self, x: (sizes.append(len(x)), encode(self, x))[1])
    return sizes
