"""Rules for names: which files are images, which split an image is in, and what its class is.

The rules are the same for a folder, a zip, tar shards and the paths of parquet files. A name is relative, with "/"
between folders. A shard (a .tar or a .zip in a folder) counts as a folder that is named like its file.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

IMAGE = re.compile(r"\.(jpe?g|jpe|jfif|png|webp|bmp|dib|gif|tiff?|p[pgbn]m|pfm)$", re.IGNORECASE)
SHARD = re.compile(r"\.(tar|zip)$", re.IGNORECASE)
MAX_NESTED = 100  # folders
TRAIN, TEST, VALIDATION = "train", "test", "validation"
# The keywords of the Hugging Face Hub (https://huggingface.co/docs/hub/datasets-file-names-and-splits).
SPLITS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), TEST),
    **dict.fromkeys(("validation", "valid", "val", "dev"), VALIDATION),
}
KEYWORD = rf"({'|'.join(SPLITS)})(?![a-z])"
KEYWORD_ANYWHERE = re.compile(rf"(?<![a-z]){KEYWORD}")
KEYWORD_AT_START = re.compile(KEYWORD)

Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Skipped:
    """The name of something in the source that was left out, and why."""

    name: str
    reason: str


class Division(NamedTuple):
    """How items are divided by the splits that they name.

    `used` and `unused` are numbers of items. `test` tells which of the used items are held out; None where no split is.
    """

    used: list[int]
    test: Bool[np.ndarray, " n"] | None
    unused: list[int]


def divide(splits: Sequence[str | None]) -> Division:
    """Divide items by their splits: test is held out, or validation where there is no test.

    If the items do not name both train and a split to hold out, all of them are used and none is held out.
    """
    named = set(splits)
    held_out = TEST if TEST in named else VALIDATION
    if not named >= {TRAIN, held_out}:
        return Division([*range(len(splits))], None, [])
    used = [k for k, split in enumerate(splits) if split in (TRAIN, held_out)]
    unused = [k for k, split in enumerate(splits) if split not in (TRAIN, held_out)]
    return Division(used, np.array([splits[k] == held_out for k in used]), unused)


def in_neither_split(counts: Mapping[str, int], what: str) -> tuple[Skipped, ...]:
    """Report how many images or files of each name belong to neither split."""
    return tuple(Skipped(name, f"{count:,} {what} in neither split") for name, count in sorted(counts.items()))


class Places(NamedTuple):
    """What the names of images tell: their splits, and their classes where folders are classes."""

    used: Sequence[int]  # numbers of the names that belong to a split
    test: Bool[np.ndarray, " n"] | None  # which of those are held out; None where a hash of the key decides
    by: str  # what named the splits: "folder", "file" or "hash"
    folders: list[str] | None  # the class of each used image
    keys: list[str]  # the used names without the folders that contain every image
    outside: tuple[Skipped, ...]


def is_hidden(name: str) -> bool:
    """Return whether a file or a folder above it is hidden, or is one that macOS adds to zips."""
    return any(part == "__MACOSX" or (part.startswith(".") and part.strip(".")) for part in name.split("/"))


def is_image(name: str) -> bool:
    """Return whether a name has the suffix of an image file."""
    return IMAGE.search(name) is not None


def suffix_of(name: str) -> str:
    """Return the suffix of a name in lower case, such as ".heic", or "no suffix"."""
    _, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if dot else "no suffix"


def split_of(name: str) -> str | None:
    """Return the split in the path of a file, such as data/train-00000-of-00002.parquet or test/0000.tar."""
    for part in reversed(name.split("/")):
        split = _split_anywhere(part)
        if split is not None:
            return split
    return None


@lru_cache(maxsize=10_000)
def _split_anywhere(part: str) -> str | None:
    found = KEYWORD_ANYWHERE.search(part.lower())
    return SPLITS[found[1]] if found else None


def _split_at_start(part: str) -> str | None:
    found = KEYWORD_AT_START.match(part.lower())
    return SPLITS[found[1]] if found else None


def places(names: Sequence[str]) -> Places:
    """Read splits and classes from the names of images."""
    paths = [name.split("/") for name in names]
    common = _common_folders(paths)
    paths = [path[common:] for path in paths]
    depth, splits = _splits(paths)
    used, test, unused = divide(splits)
    by = "hash"
    if depth is not None:
        by = "file" if _is_file(paths[used[0]], depth) else "folder"
    outside = Counter(splits[k] or paths[k][0] for k in unused)
    paths_used = [paths[k] for k in used]
    keys = ["/".join(path) for path in paths_used]
    return Places(used, test, by, _classes(paths_used, depth), keys, in_neither_split(outside, "images"))


def _is_file(path: list[str], depth: int) -> bool:
    return depth == len(path) - 1 or SHARD.search(path[depth]) is not None


def _common_folders(paths: Sequence[list[str]]) -> int:
    """Return the number of folders that contain everything: those that the first and the last path share."""
    if not paths:
        return 0
    first, last = min(paths), max(paths)
    most = min(len(first), len(last)) - 1
    for k in range(most):
        if first[k] != last[k]:
            return k
    return most


def _splits(paths: Sequence[list[str]]) -> tuple[int | None, list[str | None]]:
    """Return the depth at which paths name splits, and the split of each path there; None where there is no such depth.

    A keyword names a split only if train and another split are at one depth, most images are in a split, and the
    keywords either stand alone or are combined with the same other words. So a class called `test tube`, or a folder of
    tests among somebody's photos, is not a split.
    """
    deepest = max(map(len, paths), default=0)
    for depth in range(min(MAX_NESTED, deepest)):
        splits = [_split_at(path, depth) for path in paths]
        used, test, _ = divide(splits)
        unnamed = splits.count(None)
        if test is None or 2 * unnamed >= len(splits):
            continue
        words: tuple[set[str], set[str]] = (set(), set())
        for k, is_test in zip(used, test.tolist(), strict=True):
            is_file = _is_file(paths[k], depth)
            words[is_test].add("" if is_file else _other_words(paths[k][depth]))
        train, held_out = words
        if "" in train or "" in held_out or train & held_out:
            return depth, splits
    return None, [None] * len(paths)


@lru_cache(maxsize=10_000)
def _other_words(folder: str) -> str:
    """Return the words of a folder's name without the split: `images` of train_images."""
    return re.sub("[^a-z]+", " ", KEYWORD_ANYWHERE.sub("", folder.lower(), count=1)).strip()


def _split_at(path: list[str], depth: int) -> str | None:
    if depth >= len(path):
        return None
    if depth == len(path) - 1:
        return _split_at_start(path[depth])
    return _split_anywhere(path[depth])


def _classes(paths: Sequence[list[str]], depth: int | None) -> list[str] | None:
    """Return each image's top folder as its class, if every image is in a folder and there are two or more of them.

    Shards, and the folders at the depth of the splits, do not count.
    """
    folders = []
    for path in paths:
        folders.append([part for at, part in enumerate(path[:-1]) if at != depth and not SHARD.search(part)])
    common = _common_folders([[*folder, ""] for folder in folders])
    if any(len(folder) <= common for folder in folders):
        return None
    classes = [folder[common] for folder in folders]
    return classes if len(set(classes)) >= 2 else None


def numbered(values: Sequence[object]) -> tuple[Labels | None, tuple[str, ...], str | None]:
    """Turn labels into numbers; return them, the names of the classes, and why labels are not used.

    Whole numbers stay as they are and get no names; a number below zero means no label. Text, and numbers mixed with
    text or beyond 64 bits, are numbered in alphabetical order. Labels are used if every image has one. Texts that are
    all different are captions, not classes.
    """
    missing = sum(value is None or (isinstance(value, int) and value < 0) for value in values)
    if missing == len(values):
        return None, (), None
    if missing:
        return None, (), f"labels are not used: {missing:,} of {len(values):,} images have none"
    if all(isinstance(value, int) and value < 2**63 for value in values):
        return np.array(values, np.int64), (), None
    for value in values:
        if not isinstance(value, str | int):
            return None, (), f"labels are not used: they are {type(value).__name__}, expected whole numbers or text"
    texts = [str(value) for value in values]
    names = sorted(set(texts))
    if len(names) == len(texts) and len(texts) > 1:
        return None, (), "labels are not used: they are texts that are all different"
    number = {name: k for k, name in enumerate(names)}
    return np.array([number[text] for text in texts], np.int64), tuple(names), None


def hashed(name: str) -> float:
    """Return a number in [0, 1) that depends only on the name."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def held_out(names: Sequence[str], fraction: float) -> Bool[np.ndarray, " n"]:
    """Choose the images of the test split by a hash of their names: about `fraction` of them.

    Where there are two images or more, each split gets at least one, unless `fraction` is 0.
    """
    hashes = np.array([hashed(name) for name in names])
    chosen = hashes < fraction
    if fraction and len(chosen) > 1 and not chosen.any():
        chosen[hashes.argmin()] = True
    if chosen.all():
        chosen[hashes.argmax()] = False
    return chosen
