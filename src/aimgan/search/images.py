"""Single images of a source, found by their names in it."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from rich.console import Console

from aimgan.checked import shown
from aimgan.console import require_consent
from aimgan.data.decode import Pixels, UndecodableError, quiet, side_of
from aimgan.data.decoding import Decoder, Form
from aimgan.data.sources import find
from aimgan.errors import AimganError
from aimgan.search.index import Index

THUMBNAIL = 128  # pixels to a side, at most


def require_own(index: Index, console: Console) -> None:
    """Ask before the images that a stranger's index names are read. Raises AimganError where the answer is no."""
    source = index.record.source
    if not index.is_own:
        what = f"{index.folder} was not built by you here, and says that its images are {shown(source)}"
        require_consent(console, what, f"--images {source} to `aimgan search`")


def named(source: str, names: Collection[str], form: Form | None = None) -> dict[str, Pixels]:
    """Return the central squares of images by name, in some form; without one, THUMBNAIL to a side or smaller.

    Images that are missing or cannot be read are left out.
    """
    found: dict[str, Pixels] = {}
    with ExitStack() as stack, quiet():
        try:
            listing = find(source, stack)
        except AimganError:
            return found
        decoder = Decoder(source, listing, form or Form())  # one for all, so that a scale is looked for once
        for k, name in enumerate(listing.names):
            if name not in names:
                continue
            opener = partial(listing.open, k)
            try:
                if form is None:
                    decoder.form = replace(decoder.form, size=min(THUMBNAIL, side_of(opener)))
                found[name] = decoder(opener).pixels
            except (UndecodableError, AimganError):
                continue
    return found
