"""Data sets of the Hugging Face Hub, read over the network; it is data/packed.py that keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from aimgan.data.listing import Listing
from aimgan.data.names import split_of
from aimgan.data.tables import Table, listed_tables
from aimgan.errors import AimganError, first_line


class HubError(AimganError):
    """The Hub could not be reached, or has no such data set."""


def commit(source: str) -> str:
    """Return the commit that the Hub id owner/name, or owner/name@revision, is at.

    All of a data set is read in that one state, however often it is changed. Raises HubError where the Hub has no such
    data set, or cannot be reached.
    """
    name, _, revision = source.partition("@")
    with _reaching(source):
        from huggingface_hub import HfApi

        return str(HfApi().dataset_info(name, revision=revision or None).sha)


def listed_hub(source: str) -> Listing:
    """List the rows of the Hub id owner/name, or owner/name@revision; nothing of it is stored.

    Raises HubError where the Hub has no such data set, or cannot be reached.
    """
    at = commit(source)
    with _reaching(source):
        from huggingface_hub import HfFileSystem

        system = HfFileSystem()
        root = f"datasets/{source.partition('@')[0]}@{at}"
        found = system.find(root)
    paths = sorted(path for path in found if path.endswith(".parquet"))
    if not paths:
        raise AimganError(f"the Hub's {source!r} has no parquet files; expected a data set in the Hub's image layout")
    tables = [Table(path, split_of(path.removeprefix(root))) for path in paths]
    # A row group is read in one request or two: a cache that reads ahead would fetch what is not asked for.
    listing = listed_tables(source, tables, lambda path: system.open(path, "rb", cache_type="none"))
    return replace(listing, remote=True)


@contextmanager
def _reaching(source: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # no network, no such data set, no right to it
        raise HubError(
            f"there is no file or folder {source!r}, and the Hub could not be reached for a data set of that id "
            f"({type(error).__name__}: {first_line(error)}); check the path, or the id and the network"
        ) from error
