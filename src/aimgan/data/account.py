"""What was read of a collection of images: a line for people, a dictionary for programs (run.json's `data`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aimgan.data.image_data import ImageData
from aimgan.errors import plain

NAMED = 8  # classes that a line names
LOW = 64  # of 255: where the brightest pixel is darker, that is said


def account(images: ImageData) -> dict[str, Any]:
    """Return what was read: counts, splits, classes, what was left out, the range of the pixels, a fingerprint.

    `classes` has the number of training images by the name of their class; it is empty without labels. `fingerprint`
    changes with any pixel and any label, and with nothing else.
    """
    train, test = images.train, images.test
    return {
        "images": len(train) + len(test),
        "train": len(train),
        "test": len(test),
        "split_by": images.by,
        "classes": _classes(images),
        "skipped": len(images.skipped),
        "not_read": dict(images.not_read),
        "shape": list(images.shape),
        **images.measured,
        "notes": list(images.notes),
    }


def _classes(images: ImageData) -> dict[str, int]:
    labels = images.train.labels
    if labels is None:
        return {}
    numbers, counts = np.unique(labels.numpy(), return_counts=True)
    named = dict(enumerate(images.classes))
    return {named.get(k, str(k)): n for k, n in zip(numbers.tolist(), counts.tolist(), strict=True)}


def line(read: Mapping[str, Any]) -> str:
    """Return an account as a line: 220 images (180 train, 40 test, by folder); 2 classes: cat, dog; values 0 to 255."""
    by = f", by {read['split_by']}" if read["split_by"] else ""
    parts = [f"{read['images']:,} images ({read['train']:,} train, {read['test']:,} test{by})"]
    if read["classes"]:
        names = [*read["classes"]]
        more = ", ..." if len(names) > NAMED else ""
        parts.append(f"{len(names):,} classes: {', '.join(names[:NAMED])}{more}")
    left = [f"{count:,} {suffix}" for suffix, count in read["not_read"].items()]
    left += [f"{read['skipped']:,} unreadable (named)"] if read["skipped"] else []
    parts += [f"not read: {', '.join(left)}"] if left else []
    low, high = read["range"]
    dark = " (dark: if white was meant to be less than 255, scale them first)" if high < LOW else ""
    parts += [f"values {low} to {high} of 255{dark}", " x ".join(map(str, read["shape"])), *read["notes"]]
    return plain("; ".join(parts))
