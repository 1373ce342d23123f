"""A saved model, and the scores of a run, read from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from aimgan.checked import read_json
from aimgan.errors import AimganError
from aimgan.files import unreadable
from aimgan.model import CONFIG, WEIGHTS, LatentVariableModel
from aimgan.model_config import read_config, warn_of_changes, with_networks
from aimgan.weights import read_weights


def load_folder(folder: Path, device: str = "cpu", networks: Any = None) -> LatentVariableModel:
    """Read what `LatentVariableModel.save` wrote; `networks` has those of a caller's own that the model is built from.

    The weights in the file are compared with the networks of the config before memory is taken for either. Raises
    AimganError if the folder is not a complete model, and for networks that do not go with it.
    """
    try:
        config = read_config(folder / CONFIG)
        if networks is not None:
            config = with_networks(config, networks)
        with torch.random.fork_rng(devices=[]):  # random weights are drawn, which must not move the caller's generator
            with torch.device("meta"):
                expected = LatentVariableModel.build(config).state_dict()
            weights = read_weights(folder / WEIGHTS, expected)
            model = LatentVariableModel.build(config)
            warn_of_changes(config)
        model.load_state_dict(weights)
    except AimganError:
        raise
    except PermissionError as reason:
        raise unreadable(folder, reason) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as reason:
        line = " ".join(str(reason).split())[:300]
        raise AimganError(
            f"{folder} is not a complete model ({type(reason).__name__}: {line}): expected {CONFIG} and {WEIGHTS}, "
            "as saved"
        ) from None
    try:
        return model.to(torch.device(device))
    except (RuntimeError, AssertionError, TypeError) as reason:  # a torch without CUDA raises AssertionError
        line = (str(reason).splitlines() or [""])[0]
        raise AimganError(f"cannot put a model on device {device!r} ({line}): expected cpu, or cuda") from None


def scores_of(source: str | Path) -> dict[str, Any]:
    """Return the scores of a run, as its evaluation.json holds them; none where it was not evaluated, or is no run.

    Raises AimganError where they cannot be read.
    """
    from aimgan.training.run_dir import RunDir

    path = RunDir(source).evaluation
    try:
        return read_json(path) if path.exists() else {}
    except (OSError, ValueError, OverflowError) as reason:
        raise AimganError(f"{path} cannot be read ({reason}): evaluate the run again") from None
