"""The algorithms, one file each. `OBJECTIVES` is the whole registry."""

from aimgan.objectives.aim import AIM
from aimgan.objectives.aim_minus import AIMMinus
from aimgan.objectives.base import Objective, Prior, Update
from aimgan.objectives.gan import GAN

OBJECTIVES: dict[str, type] = {
    "aim": AIM,
    "aim-minus": AIMMinus,
    "gan": GAN,
}

__all__ = ["OBJECTIVES", "Objective", "Prior", "Update"]
