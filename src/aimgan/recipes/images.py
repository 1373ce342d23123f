"""Table 1's data sets, the embedded digits, and a folder of one's own.

aimgan train digits/aim                                  a minute on two cores, no download
aimgan train mnist/aim --data PATH --preset cpu          minutes (recipes/presets.py)
aimgan train folder/aim --data PATH --size 64
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aimgan.data import Digits, Images
from aimgan.networks import MLP, Table3, Table4
from aimgan.recipes.recipe import Recipe

DIGITS = Recipe(
    name="digits/aim",
    data=Digits(),
    networks=MLP(shape=(1, 8, 8), dim=8, width=256, scale=1.0, generator_norm=True),
    objective="aim",
    batch_size=100,
    steps=6_000,
    lr=1e-3,
    schedule="linear",
    ema=0.999,
    features="off",  # too few to train a good classifier on
)
MNIST = Recipe(  # Table 3
    name="mnist/aim",
    data=Images("ylecun/mnist", size=28, channels=1),
    networks=Table3(),
    objective="aim",
    epochs=400,
    evaluate_every=1,
    features="digits",
)
CIFAR10 = Recipe(  # Table 4, images scaled to 64 x 64
    name="cifar10/aim",
    data=Images("uoft-cs/cifar10", size=64, channels=3),
    networks=Table4(),
    objective="aim",
    epochs=300,
    evaluate_every=1,
)
CELEBA = replace(  # the aligned faces' shorter side scaled to 64, then their centre; a folder does as well
    CIFAR10, name="celeba/aim", data=Images("flwrlabs/celeba", size=64, channels=3)
)
FOLDER = replace(  # Table 4 at a quarter of its width
    CIFAR10, name="folder/aim", data=Images(size=64), networks=Table4(width=256), evaluate_every=10
)


def options_of(objective: str) -> dict[str, Any]:
    """Return the options of an objective on images."""
    if objective in ("vae", "avb", "symmetric-vae"):
        # A likelihood of pixels with deviation 1, in the networks' units, would call nearly all of an image noise.
        return {"sigma": 0.1}
    return {}


# Table 1 of the paper: (mean, what follows its +-). Of the errors docs/science.md 4.11 says that the rows may be on
# different scales; the scores of MNIST are by Li et al.'s classifier, those of CIFAR-10 by Inception-v3.
Pair = tuple[float, float]
TABLE_1: dict[str, dict[str, Pair]] = {
    "reconstruction_mse": {
        "mnist/ali": (0.480, 0.100), "mnist/alice": (0.080, 0.007), "mnist/aim-minus": (0.028, 0.018),
        "mnist/aim": (0.026, 0.018), "cifar10/ali": (0.672, 0.113), "cifar10/alice": (0.416, 0.202),
        "cifar10/aim-minus": (0.037, 0.017), "cifar10/aim": (0.019, 0.009),
    },
    "inception_score": {
        "mnist/gan": (9.464, 0.020), "mnist/ali": (8.749, 0.090), "mnist/alice": (9.279, 0.070),
        "mnist/aim-minus": (9.331, 0.021), "mnist/aim": (9.483, 0.020), "cifar10/gan": (6.287, 0.061),
        "cifar10/ali": (5.930, 0.044), "cifar10/alice": (6.015, 0.028), "cifar10/aim-minus": (6.324, 0.056),
        "cifar10/aim": (6.450, 0.085),
    },
}  # fmt: skip
