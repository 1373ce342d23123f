"""A summary of the images that were read: a dictionary for programs (run.json's `data`), and a line for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aimgan.data.image_data import ImageData
from aimgan.data.sources import is_on_hub
from aimgan.errors import plain

NAMED = 8  # classes in the line
LOW = 64  # of 255: if no pixel is brighter, the line says that the images look dark


def account(images: ImageData) -> dict[str, Any]:
    """Return what was read: counts, splits, classes, what was left out, the range of the pixels, a fingerprint.

    `hub` is whether they came from the Hub. `classes` are the numbers of training images by class; empty without
    labels. The fingerprint depends on all pixels and labels, and on nothing else.
    """
    train, test = images.train, images.test
    return {
        "images": len(train) + len(test),
        "train": len(train),
        "test": len(test),
        "hub": is_on_hub(images.source),
        "split_by": images.by,
        "classes": _classes(images),
        "skipped": len(images.skipped),
        "not_read": dict(images.not_read),
        "shape": list(images.shape),
        **images.measured,
        "notes": list(images.notes),
    }


def _classes(images: ImageData) -> dict[str, int]:
    if images.train.labels is None:
        return {}
    names = dict(enumerate(images.classes))
    numbers, counts = np.unique(images.train.labels.numpy(), return_counts=True)
    return {names.get(k, str(k)): n for k, n in zip(numbers.tolist(), counts.tolist(), strict=True)}


def line(read: Mapping[str, Any]) -> str:
    """Return an account as a line: 220 images (180 train, 40 test, by folder); 2 classes: cat, dog; values 0 to 255."""
    if "range" not in read:
        splits = f" ({read['train']:,} train, {read['test']:,} test)" if "train" in read else ""
        return f"{read['samples']:,} samples{splits}; {' x '.join(map(str, read['shape']))}"
    by = f", by {read['split_by']}" if read["split_by"] else ""
    parts = [f"{read['images']:,} images ({read['train']:,} train, {read['test']:,} test{by})"]
    names = list(read["classes"])
    if names:
        more = ", ..." if len(names) > NAMED else ""
        parts.append(f"{len(names):,} classes: {', '.join(names[:NAMED])}{more}")
    left_out = [f"{count:,} {suffix}" for suffix, count in read["not_read"].items()]
    if read["skipped"]:
        left_out.append(f"{read['skipped']:,} unreadable (named)")
    if left_out:
        parts.append(f"not read: {', '.join(left_out)}")
    low, high = read["range"]
    dark = " (images look dark: rescale if their maximum is below 255)" if high < LOW else ""
    parts.append(f"values {low} to {high} of 255{dark}")
    parts.append(" x ".join(map(str, read["shape"])))
    return plain("; ".join([*parts, *read["notes"]]))
