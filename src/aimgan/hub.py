"""Models by name: a run, a saved model's folder, or a Hub id."""

from __future__ import annotations

import re
from pathlib import Path

from aimgan.errors import AimganError
from aimgan.files import recover
from aimgan.model import CARD, CONFIG, WEIGHTS, LatentVariableModel, load_folder

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load(source: str | Path, device: str = "cpu") -> LatentVariableModel:
    """Load a model from a run folder, a saved model's folder or a Hub id ("owner/name"), ready to infer.

    Raises AimganError where there is none, or where it is not whole. Never unpickles anything.
    """
    folder = Path(source)
    for candidate in (folder / "model", folder):
        recover(candidate)
        if (candidate / CONFIG).exists():
            return load_folder(candidate, device)
    if (folder / "run.json").exists():
        raise AimganError(f"{folder} is a run that has no model yet: repeat its training command to finish it")
    if folder.exists() or not HUB_ID.fullmatch(str(source)):
        raise AimganError(f"{source} holds no model ({CONFIG} and {WEIGHTS} expected): train one, or check the path")
    return load_folder(_download(str(source)), device)


def _download(repo: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, allow_patterns=[CONFIG, WEIGHTS, CARD]))
    except Exception as reason:  # the Hub's client raises a dozen kinds, offline or not
        kind = type(reason).__name__
        raise AimganError(f"no folder {repo} here, and the Hub has no model {repo} within reach ({kind})") from None
