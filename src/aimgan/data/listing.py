"""The images of a collection, in order, with their splits and classes: every reader of a source returns a listing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from aimgan.data.decode import Stored
from aimgan.data.files import Files
from aimgan.data.labels import has_labels, written
from aimgan.data.names import Labels, Skipped, held_out, is_hidden, is_image, numbered, places, suffix_of


@dataclass(frozen=True, eq=False)
class Listing:
    """Images that are not decoded yet: image k is named `names[k]`, and `open(k)` opens it.

    `test` says which images are held out; if it is None, a hash of `keys` decides. `by` says what named the splits:
    folder, file or hash. `skipped` and `not_read` (counts by suffix) are what else there was, `notes` are sentences for
    the user.
    """

    names: Sequence[str]
    open: Callable[[int], Stored]
    test: Bool[np.ndarray, " n"] | None = None
    by: str = "hash"
    keys: Sequence[str] | None = None  # the names, if None
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    not_read: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    remote: bool = False  # read over the network

    def __len__(self) -> int:
        """The number of images."""
        return len(self.names)

    def held_out(self, fraction: float) -> Bool[np.ndarray, " n"]:
        """Return which images are in the test split: as the source says, or about this fraction of them."""
        if self.test is not None:
            return self.test
        return held_out(self.keys or self.names, fraction)


def listed(files: Files) -> Listing:
    """List the images among files, with what their names and the tables beside them say."""
    visible = [k for k, name in enumerate(files.names) if not is_hidden(name)]
    images = sorted((k for k in visible if is_image(files.names[k])), key=lambda k: files.names[k])
    found = places([files.names[k] for k in images])
    images = [images[k] for k in found.used]
    tables = [k for k in visible if has_labels(files.names[k])]
    values, damaged = written(files, images, tables)
    labels, classes, note = numbered(values)
    notes = [note] if note else []
    others = Counter(suffix_of(files.names[k]) for k in visible if not is_image(files.names[k]))
    if labels is not None:
        others -= Counter(suffix_of(files.names[k]) for k in tables)
        if found.folders:
            notes.append("folders are not used as classes: the labels beside the images are")
    elif found.folders is not None:
        labels, classes, note = numbered(found.folders)
        if note:
            notes.append(note)
    return Listing(
        names=[files.names[k] for k in images],
        open=lambda k: files.open(images[k]),
        test=found.test,
        by=found.by,
        keys=found.keys,
        labels=labels,
        classes=classes,
        skipped=(*files.skipped, *found.outside, *damaged),
        not_read=dict(sorted(others.items())),
        notes=tuple(notes),
    )
