"""What the bits of a run's results depend on besides its settings, and what of it has changed."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from aimgan._version import __version__

PACKAGES = ("torch", "numpy", "accelerate", "safetensors", "pillow", "scikit-learn")
FILE = Path(__file__).resolve()


def environment(device: str = "cpu") -> dict[str, Any]:
    """Return what the bits of results depend on: versions, device, processor, threads, GPU (docs/science.md 4.5)."""
    found = {
        "aimgan": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": device,
    }
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
        found["cudnn"] = torch.backends.cudnn.version()
    return found


def changes_of(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return warnings about a run that goes on in another environment. What was not recorded has not changed."""
    changed = []
    for name, value in now.items():
        if then.get(name, value) != value:
            changed.append(f"{name}: {then[name]} then, {value} now")
    if not changed:
        return []
    warnings = [f"the environment has changed, so results may not be bit-identical ({'; '.join(changed)})"]
    if then.get("device", now["device"]) != now["device"]:
        warnings.append("another device draws other noise and rounds differently: the rest of the run is another one")
    return warnings


def git_commit(file: Path = FILE) -> str | None:
    """Return the commit of this code, or None unless `file`, which is this one, is tracked in aimgan's own checkout.

    An installed aimgan often lies inside another repository, whose commit may be nobody's business.
    """
    root = file.parents[3]
    try:
        is_aimgan = 'name = "aimgan"\n' in (root / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    if (
        not is_aimgan
        or _git(root, "rev-parse", "--show-toplevel") != str(root)
        or not _git(root, "ls-files", str(file))
    ):
        return None
    return _git(root, "rev-parse", "HEAD") or None


def _git(folder: Path, *arguments: str) -> str:
    """Return what git answers about a folder, or nothing if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # set in hooks
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True, text=True, timeout=5, check=False, env=environment,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
    return model.split(":", 1)[1].strip()
