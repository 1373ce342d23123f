"""The engine, its loop, its checkpoints and its folder; and, called, `aimgan.train(recipe, ...)`.

The package and the function that users call have one name. Python gives the name to the package as soon as anything
imports it, so the package itself can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Train a recipe: `aimgan.experiments.train`, which see."""
        from aimgan.experiments import train  # only when called: nothing else here knows of recipes

        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
