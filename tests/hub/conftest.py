from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_hub import Server, State
from fake_run import write_run


@pytest.fixture
def run(tmp_path) -> Path:
    """A finished run's folder, of a model with fresh weights."""
    return write_run(tmp_path / "runs" / "photos")


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[State]:
    """A Hub of our own that huggingface_hub talks to, empty, with the token of someone who may write as "me"."""
    from huggingface_hub import constants, utils

    server = Server()
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {
        "ENDPOINT": server.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    monkeypatch.chdir(tmp_path)

    def stop() -> None:
        server.stop()
        utils.close_session()  # and the connections that are kept

    server.state.stop = stop
    yield server.state
    stop()
