"""The images of a collection, in order, with their splits and classes: what every reader of a source returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from aimgan.data.decode import Stored
from aimgan.data.files import Files
from aimgan.data.labels import is_beside, written
from aimgan.data.names import Labels, Skipped, held_out, is_hidden, is_image, numbered, places, suffix_of


@dataclass(frozen=True, eq=False)
class Listing:
    """Image k is `names[k]`, and `open(k)` opens it: still to be decoded.

    `test` says which images are held out; where it is None, a hash of `keys` decides. `by` says what named the splits:
    folder, file or hash. `skipped` and `not_read` (counts by suffix) are what else was there, `notes` what else is to
    be said of it.
    """

    names: Sequence[str]
    open: Callable[[int], Stored]
    test: Bool[np.ndarray, " n"] | None = None
    by: str = "hash"
    keys: Sequence[str] | None = None
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    not_read: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    remote: bool = False  # over the network

    def __len__(self) -> int:
        """The number of images."""
        return len(self.names)

    def held_out(self, fraction: float) -> Bool[np.ndarray, " n"]:
        """Return which images are in the test split: the source's own, or about this fraction of them."""
        return held_out(self.keys or self.names, fraction) if self.test is None else self.test


def listed(files: Files) -> Listing:
    """Return the images among files, by what their names and the tables beside them say."""
    there = [k for k, name in enumerate(files.names) if not is_hidden(name)]
    images = sorted((k for k in there if is_image(files.names[k])), key=lambda k: files.names[k])
    found = places([files.names[k] for k in images])
    images = [images[k] for k in found.used]
    beside = [k for k in there if is_beside(files.names[k])]
    values, damaged = written(files, images, beside)
    labels, classes, note = numbered(values)
    notes = [note] if note else []
    other = Counter(suffix_of(files.names[k]) for k in there if not is_image(files.names[k]))
    if labels is not None:
        other -= Counter(suffix_of(files.names[k]) for k in beside)
        notes += ["folders are not used as classes: the labels beside the images are"] if found.folders else []
    elif found.folders is not None:
        labels, classes, note = numbered(found.folders)
        notes += [note] if note else []
    return Listing(
        names=[files.names[k] for k in images],
        open=lambda k: files.open(images[k]),
        test=found.test,
        by=found.by,
        keys=found.keys,
        labels=labels,
        classes=classes,
        skipped=(*files.skipped, *found.outside, *damaged),
        not_read=dict(sorted(other.items())),
        notes=tuple(notes),
    )
