"""What the names of images say: their class, their split."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

TEST_NAMES = ("test", "validation", "valid", "val")  # the first that is there is the test split


@dataclass(frozen=True)
class Skipped:
    """What was left out, by its name in the source, and why."""

    name: str
    reason: str


class Tag(NamedTuple):
    """An image's name, the same whenever it is loaded; its class; its split, None where a hash of the name decides."""

    name: str
    label: int | None = None
    test: bool | None = None


def wrapper(names: Iterable[str]) -> str:
    """Return the one folder that most zips put around all they hold, as "name/", or ""."""
    tops = {top_of(name) if "/" in name else "" for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and not tops & {"", "train", "test"} else ""


def top_of(name: str) -> str:
    """Return a name's first part: the folder at the top, if there is one."""
    return name.partition("/")[0]


def layout(names: list[str]) -> tuple[list[Tag], tuple[Skipped, ...]]:
    """Read splits and classes off relative names, as the folders say; and, beside them, what lies in neither split."""
    splits = splits_of(top_of(name) for name in names if "/" in name)
    inside = [name for name in names if not splits or top_of(name) in splits]
    below = {name: name.partition("/")[2] if splits else name for name in inside}
    classes = sorted({top_of(rest) for rest in below.values() if "/" in rest})
    labelled = len(classes) >= 2 and all("/" in rest for rest in below.values())
    number = {name: index for index, name in enumerate(classes)} if labelled else {}
    tags = [Tag(name, number.get(top_of(below[name])), splits.get(top_of(name))) for name in inside]
    outside = Counter(top_of(name) for name in names if name not in below)
    return tags, tuple(Skipped(top, f"{count:,} images in neither split") for top, count in outside.items())


def splits_of(names: Iterable[str]) -> dict[str, bool]:
    """Return which of these names are the train (False) and the test split (True); nothing unless both are there."""
    by_word = {name.lower(): name for name in sorted(names)}
    test = next((by_word[word] for word in TEST_NAMES if word in by_word), None)
    return {by_word["train"]: False, test: True} if "train" in by_word and test else {}


def split_word(file: Path) -> str:
    """Return the split that `data/train-00000-of-00002.parquet` or `default/train/0000.parquet` says it is, or ""."""
    pattern = rf"(train|{'|'.join(TEST_NAMES)})(?![a-z])"
    found = (re.match(pattern, part.lower()) for part in reversed(file.parts))
    return next((match[1] for match in found if match), "")


def hashed(name: str) -> float:
    """Return a number in [0, 1) that depends on the name and on nothing else."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def held_out(hashes: Float64[np.ndarray, " n"], fraction: float) -> Bool[np.ndarray, " n"]:
    """Return which images are in the test split, where only their names decide.

    Of two images or more at least one is on each side, unless `fraction` is 0.
    """
    chosen = hashes < fraction
    if fraction and len(chosen) > 1 and not chosen.any():
        chosen[hashes.argmin()] = True
    if chosen.all():
        chosen[hashes.argmax()] = False
    return chosen
