"""Two data sets without pairs: points and digits, whose true pairs score the translation, and images of one's own.

aimgan train pairs-points/cyclegan                       a minute, no download
aimgan train pairs-digits/cyclegan                       minutes, no download
aimgan train pairs/cyclegan --data A --data-b B --size 32
"""

from __future__ import annotations

from typing import Any

from aimgan.data import PairedDigits, PairedImages, PairedPoints
from aimgan.networks import PointTranslator, Translator
from aimgan.recipes.mixtures import CRITICS_OF_POINTS, WEIGHTED
from aimgan.recipes.recipe import Recipe

# The objectives that take any p(z); the others have a term for N(0, I).
OBJECTIVES = ("cyclegan", "discogan", "dualgan", "aim", "aim-minus", "ali", "alice")

# Of q(z|x), as log variance. A pixel that never changes has a likelihood without bound: AIM ends in NaN without it.
FLOOR = -6.0

POINTS = Recipe(
    name="pairs-points/cyclegan",
    data=PairedPoints(),
    networks=PointTranslator(scale=2.0),
    objective="cyclegan",
    batch_size=256,
    steps=4_000,
    lr=1e-3,
    schedule="linear",
    ema=0.999,
)
DIGITS = Recipe(
    name="pairs-digits/cyclegan",
    data=PairedDigits(),
    networks=Translator(shape=(1, 8, 8), codes=(1, 8, 8), width=32, min_log_variance=FLOOR),
    objective="cyclegan",
    batch_size=50,
    steps=1_500,
    lr=5e-4,
    schedule="linear",
    ema=0.99,
    features="off",
)
IMAGES = Recipe(
    name="pairs/cyclegan",
    data=PairedImages(size=32),
    networks=Translator(min_log_variance=FLOOR),
    objective="cyclegan",
    batch_size=16,
    steps=20_000,
    lr=2e-4,
    schedule="linear",
    ema=0.999,
    features="off",
)


def options_of(objective: str, data: Any) -> dict[str, Any]:
    """Return the options of an objective between two data sets: on points AIM's likelihood is weighted, as on grid."""
    if not isinstance(data, PairedPoints):
        return {}
    if objective == "dualgan":
        return CRITICS_OF_POINTS
    return WEIGHTED if objective == "aim" else {}
