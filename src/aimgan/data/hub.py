"""Data sets on the Hugging Face Hub, read over the network; data/packed.py stores their images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from aimgan.data.listing import Listing
from aimgan.data.names import split_of
from aimgan.data.tables import listed_tables
from aimgan.errors import AimganError, first_line


class HubError(AimganError):
    """The Hub cannot be reached, or has no such data set."""


def commit(source: str) -> str:
    """Return the newest commit of the Hub id owner/name, or that of the revision owner/name@revision.

    Raises HubError if the Hub cannot be reached or has no such data set.
    """
    name, _, revision = source.partition("@")
    with _reaching(source):
        from huggingface_hub import HfApi

        return str(HfApi().dataset_info(name, revision=revision or None).sha)


def listed_hub(source: str) -> Listing:
    """List the rows of a data set on the Hub at one commit; nothing is stored. Raises HubError as `commit` does."""
    root = f"datasets/{source.partition('@')[0]}@{commit(source)}"
    with _reaching(source):
        from huggingface_hub import HfFileSystem

        system = HfFileSystem()
        found = system.find(root)
    paths = sorted(path for path in found if path.endswith(".parquet"))
    if not paths:
        raise AimganError(f"the Hub's {source!r} has no parquet files; expected a data set in the Hub's image layout")
    splits = [split_of(path.removeprefix(root)) for path in paths]
    # A row group is read in one request or two: a cache that reads ahead would download what is not needed.
    listing = listed_tables(source, paths, splits, lambda path: system.open(path, "rb", cache_type="none"))
    return replace(listing, remote=True)


@contextmanager
def _reaching(source: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # no network, no such data set, no permission
        raise HubError(
            f"there is no file or folder {source!r}, and the Hub could not be reached for a data set of that id "
            f"({type(error).__name__}: {first_line(error)}); check the path, or the id and the network"
        ) from error
