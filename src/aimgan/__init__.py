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
    from aimgan.experiments import RECIPES, Recipe, train
    from aimgan.hub import load
    from aimgan.model import LatentVariableModel
    from aimgan.objectives import OBJECTIVES

_HOMES = {
    "LatentVariableModel": "aimgan.model",
    "OBJECTIVES": "aimgan.objectives",
    "RECIPES": "aimgan.experiments",
    "Recipe": "aimgan.experiments",
    "load": "aimgan.hub",
}

__all__ = [
    "OBJECTIVES",
    "RECIPES",
    "AimganError",
    "LatentVariableModel",
    "Recipe",
    "__version__",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "train":
        return import_module("aimgan.train")  # a package that can be called (its docstring says why)
    if name not in _HOMES:
        raise AttributeError(f"module 'aimgan' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # asked once
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
