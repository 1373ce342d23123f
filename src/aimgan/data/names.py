"""What the names in a collection say: which files are images, which split an image is in, and what its class is.

The same rules for a folder, a zip, tar shards and the paths inside parquet. A name is relative, with "/" between
folders; a shard (a .tar or a .zip in a folder) counts as a folder that is named like its file.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

IMAGE = re.compile(r"\.(jpe?g|jpe|jfif|png|webp|bmp|dib|gif|tiff?|p[pgbn]m|pfm)$", re.IGNORECASE)
MAX_NESTED = 100  # folders
SHARD = re.compile(r"\.(tar|zip)$", re.IGNORECASE)
TRAIN, TEST, VALIDATION = "train", "test", "validation"
# The keywords of the Hugging Face Hub (https://huggingface.co/docs/hub/datasets-file-names-and-splits).
KEYWORDS = {
    TRAIN: ("train", "training"),
    TEST: ("test", "testing", "eval", "evaluation"),
    VALIDATION: ("validation", "valid", "val", "dev"),
}
SPLITS = {word: split for split, words in KEYWORDS.items() for word in words}
_WORD = rf"({'|'.join(SPLITS)})(?![a-z])"
_ANYWHERE, _PREFIX = re.compile(rf"(?<![a-z]){_WORD}"), re.compile(_WORD)

Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Skipped:
    """What was left out, by its name in the source, and why."""

    name: str
    reason: str


class Places(NamedTuple):
    """Where images lie in their tree: which are used, their splits, and their folder's name if folders are classes."""

    used: Sequence[int]  # numbers of names: the others are in neither split
    test: Bool[np.ndarray, " n"] | None  # of those used; None where a hash of `keys` decides
    by: str  # what named the splits: "folder" or "file"; "hash" where nothing does
    folders: list[str] | None
    keys: list[str]  # names without the folders that are around everything
    outside: tuple[Skipped, ...]


def is_hidden(name: str) -> bool:
    """Return whether a file or a folder above it is hidden, or is what macOS leaves in zips."""
    return any(part == "__MACOSX" or (part.startswith(".") and part.strip(".")) for part in name.split("/"))


def is_image(name: str) -> bool:
    """Return whether a name ends as those of image files do."""
    return IMAGE.search(name) is not None


def suffix_of(name: str) -> str:
    """Return a name's ending in lower case, such as ".heic"; what has none is named by "no suffix"."""
    _, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if dot else "no suffix"


def split_of(name: str) -> str | None:
    """Return the split that the name of a file says it is of: data/train-00000-of-00002.parquet, test/0000.tar."""
    return next((split for part in reversed(name.split("/")) if (split := _split_anywhere(part))), None)


@lru_cache(maxsize=10_000)
def _split_anywhere(part: str) -> str | None:
    found = _ANYWHERE.search(part.lower())
    return SPLITS[found[1]] if found else None


def _split_prefix(file: str) -> str | None:
    found = _PREFIX.match(file.lower())
    return SPLITS[found[1]] if found else None


def held_out_split(splits: Iterable[str | None]) -> str | None:
    """Return the split that is held out: test, else validation; None unless there is one of them beside train."""
    there = set(splits)
    return next((split for split in (TEST, VALIDATION) if {TRAIN, split} <= there), None)


def places(names: Sequence[str]) -> Places:
    """Read splits and classes off the names of images."""
    parts = [name.split("/") for name in names]
    around = _common(parts)
    parts = [part[around:] for part in parts]
    depth, splits = _splits(parts)
    if depth is None:
        used: Sequence[int] = range(len(names))
        keys = ["/".join(part) for part in parts]
        return Places(used, None, "hash", _folders(parts), keys, ())
    held_out = held_out_split(splits)
    used = [k for k, split in enumerate(splits) if split in (TRAIN, held_out)]
    test = np.array([splits[k] == held_out for k in used])
    by = "file" if any(_is_file(parts[k], depth) for k in used[:1]) else "folder"
    below = [part if depth == len(part) - 1 else part[:depth] + part[depth + 1 :] for part in parts]
    outside = Counter(split or part[0] for part, split in zip(parts, splits, strict=True))
    for split in (TRAIN, held_out):
        del outside[str(split)]
    skipped = tuple(Skipped(top, f"{count:,} images in neither split") for top, count in sorted(outside.items()))
    keys = ["/".join(parts[k]) for k in used]
    return Places(used, test, by, _folders([below[k] for k in used]), keys, skipped)


def _is_file(part: list[str], depth: int) -> bool:
    return depth == len(part) - 1 or SHARD.search(part[depth]) is not None


def _common(parts: Sequence[list[str]]) -> int:
    """Return how many folders are around everything: those that the first and the last name have in common."""
    if not parts:
        return 0
    first, last = min(parts), max(parts)
    most = min(len(first), len(last)) - 1
    return next((k for k in range(most) if first[k] != last[k]), most)


def _splits(parts: Sequence[list[str]]) -> tuple[int | None, list[str | None]]:
    """Return at which depth names say a split, and what each says; None where they do not.

    A word is a split only where train and another are at one depth, most of the images are in one, and both are beside
    the same words or one of them is alone: a class that is called `test tube`, or a folder of tests among a person's
    photos, parts nothing.
    """
    for depth in range(min(MAX_NESTED, max(map(len, parts), default=0))):
        found = [_split_at(part, depth) for part in parts]
        held_out = held_out_split(found)
        if held_out is None or 2 * sum(split is not None for split in found) <= len(found):
            continue
        words: dict[str | None, set[str]] = {split: set() for split in found}
        for part, split in zip(parts, found, strict=True):
            words[split] |= {"" if _is_file(part, depth) else _beside(part[depth])} if split else set()
        if "" in words[TRAIN] | words[held_out] or words[TRAIN] & words[held_out]:
            return depth, found
    return None, []


@lru_cache(maxsize=10_000)
def _beside(folder: str) -> str:
    """Return what else a folder's name says beside the split: `images` of train_images."""
    return re.sub("[^a-z]+", " ", _ANYWHERE.sub("", folder.lower(), count=1)).strip()


def _split_at(part: list[str], depth: int) -> str | None:
    if depth >= len(part):
        return None
    return _split_prefix(part[depth]) if depth == len(part) - 1 else _split_anywhere(part[depth])


def _folders(parts: Sequence[list[str]]) -> list[str] | None:
    """Return each image's class: its folder at the top of the tree, if all are in one and there are two of them."""
    folders = [[part for part in own[:-1] if not SHARD.search(part)] for own in parts]
    around = _common([[*folder, ""] for folder in folders])
    tops = [folder[around] if len(folder) > around else None for folder in folders]
    return [str(top) for top in tops] if None not in tops and len(set(tops)) >= 2 else None


def numbered(values: Sequence[object]) -> tuple[Labels | None, tuple[str, ...], str | None]:
    """Turn what images are labelled with into numbers; return them, the classes' names, and why they are not used.

    Whole numbers stay what they are and need no names, below zero means none; text, and numbers among it or beyond 64
    bits, are numbered in alphabetical order.
    Labels count where every image has one; texts that are all different are captions.
    """
    missing = sum(value is None or (isinstance(value, int) and value < 0) for value in values)
    if missing == len(values):
        return None, (), None
    if missing:
        return None, (), f"labels are not used: {missing:,} of {len(values):,} images have none"
    if all(isinstance(value, int) and value < 2**63 for value in values):
        return np.array(values, np.int64), (), None
    other = next((value for value in values if not isinstance(value, str | int)), None)
    if other is not None:
        return None, (), f"labels are not used: they are {type(other).__name__}, expected whole numbers or text"
    names = sorted(set(map(str, values)))
    if len(names) == len(values) and len(values) > 1:
        return None, (), "labels are not used: they are texts that are all different"
    number = {name: k for k, name in enumerate(names)}
    return np.array([number[str(value)] for value in values], np.int64), tuple(names), None


def hashed(name: str) -> float:
    """Return a number in [0, 1) that depends on the name and on nothing else."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def held_out(names: Sequence[str], fraction: float) -> Bool[np.ndarray, " n"]:
    """Return which images are in the test split, where only their names decide.

    Of two images or more at least one is on each side, unless `fraction` is 0.
    """
    hashes = np.array([hashed(name) for name in names])
    chosen = hashes < fraction
    if fraction and len(chosen) > 1 and not chosen.any():
        chosen[hashes.argmin()] = True
    if chosen.all():
        chosen[hashes.argmax()] = False
    return chosen
