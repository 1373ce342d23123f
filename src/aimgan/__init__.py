"""aimgan: generative models that can also infer. AIM, and the models it is compared with.

    import aimgan
    model = aimgan.load("runs/grid-aim")
    model.encode(x).mean, model.reconstruct(x), model.generate(16)

Nothing heavy is imported before a name is used, so that `aimgan --help` answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aimgan._version import __version__
from aimgan.errors import AimganError

if TYPE_CHECKING:
    from aimgan.model import LatentVariableModel
    from aimgan.objectives import OBJECTIVES
    from aimgan.recipes import RECIPES, Recipe
    from aimgan.runs.fit import fit
    from aimgan.runs.train import train
    from aimgan.sharing.hub import load

_HOMES = {
    "LatentVariableModel": "aimgan.model",
    "OBJECTIVES": "aimgan.objectives",
    "RECIPES": "aimgan.recipes",
    "Recipe": "aimgan.recipes",
    "fit": "aimgan.runs.fit",
    "load": "aimgan.sharing.hub",
    "train": "aimgan.runs.train",
}

__all__ = [
    "OBJECTIVES",
    "RECIPES",
    "AimganError",
    "LatentVariableModel",
    "Recipe",
    "__version__",
    "fit",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'aimgan' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    if name != "RECIPES":  # of which there are more when objectives are registered
        globals()[name] = value  # asked once
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
