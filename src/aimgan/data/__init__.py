"""Data as batches that are functions of (seed, step). `DATA` lists the kinds of data that a recipe can name."""

from aimgan.data.base import Batches, DataSource
from aimgan.data.image_set import Digits, Images, ImageSet, Stream
from aimgan.data.memory import InMemory, in_memory
from aimgan.data.mixtures import Grid, Mixture, Ring, Unbalanced
from aimgan.data.names import Skipped
from aimgan.data.own import OwnBatches, PointSet

Data = ImageSet | Mixture | PointSet | OwnBatches  # loaded

DATA: dict[str, type] = {
    "grid": Grid,
    "ring": Ring,
    "unbalanced": Unbalanced,
    "digits": Digits,
    "images": Images,
    "stream": Stream,
    "memory": InMemory,
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
    "PointSet",
    "Ring",
    "Skipped",
    "Stream",
    "Unbalanced",
    "in_memory",
]
