"""Data as batches that are functions of (seed, step). `DATA` lists the kinds of data that a recipe can name."""

from aimgan.data.base import Batches, DataSource
from aimgan.data.image_set import Digits, Images, ImageSet, Stream
from aimgan.data.memory import InMemory, in_memory
from aimgan.data.mixtures import Grid, Mixture, Ring, Unbalanced
from aimgan.data.names import Skipped
from aimgan.data.own import OwnBatches, PointSet
from aimgan.data.two_domains import PairedDigits, PairedImages, PairedPoints, TwoDomains

Data = ImageSet | Mixture | PointSet | OwnBatches | TwoDomains  # loaded

DATA: dict[str, type] = {
    "grid": Grid,
    "ring": Ring,
    "unbalanced": Unbalanced,
    "digits": Digits,
    "images": Images,
    "stream": Stream,
    "memory": InMemory,
    "pairs-points": PairedPoints,
    "pairs-digits": PairedDigits,
    "pairs": PairedImages,
}

__all__ = [
    "DATA",
    "Batches",
    "Data",
    "DataSource",
    "Digits",
    "Grid",
    "ImageSet",
    "Images",
    "InMemory",
    "Mixture",
    "OwnBatches",
    "PairedDigits",
    "PairedImages",
    "PairedPoints",
    "PointSet",
    "Ring",
    "Skipped",
    "Stream",
    "TwoDomains",
    "Unbalanced",
    "in_memory",
]
