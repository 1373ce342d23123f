"""Models by name: a run, a saved model's folder, or a Hub id."""

from __future__ import annotations

import re
from pathlib import Path

from aimgan.checked import shown
from aimgan.errors import AimganError
from aimgan.files import recover
from aimgan.model import CARD, CONFIG, WEIGHTS, LatentVariableModel, load_folder

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load(source: str | Path, device: str = "cpu") -> LatentVariableModel:
    """Load a model from a run folder, a saved model's folder or a Hub id ("owner/name"), ready to infer.

    Raises AimganError where there is none, or where it is not whole. Never unpickles anything.
    """
    try:
        found = _here(Path(source))
    except (OSError, ValueError, TypeError, RuntimeError) as reason:  # too long a name, a null in it, a loop of links
        raise AimganError(f"{shown(source)} cannot be a model's folder ({reason}): check the path") from None
    if found is not None:
        return load_folder(found, device)
    if Path(source, "run.json").exists():
        raise AimganError(f"{source} is a run that has no model yet: repeat its training command to finish it")
    if Path(source).exists() or not HUB_ID.fullmatch(str(source)):
        raise AimganError(f"{source} holds no model ({CONFIG} and {WEIGHTS} expected): train one, or check the path")
    return load_folder(_download(str(source)), device)


def _here(folder: Path) -> Path | None:
    """Return the folder with the model of a run, or of a folder itself, if there is one."""
    for candidate in (folder / "model", folder):
        recover(candidate)
        if (candidate / CONFIG).exists():
            return candidate
    return None


def _download(repo: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, allow_patterns=[CONFIG, WEIGHTS, CARD]))
    except Exception as reason:  # the Hub's client raises a dozen kinds, offline or not
        kind = type(reason).__name__
        raise AimganError(f"no folder {repo} here, and the Hub has no model {repo} within reach ({kind})") from None
