"""The files in a tar. Of tarfile only its reader of single headers is used, since the rest of it believes them.

In tarfile, before Python 3.11.10 and 3.12.6, a header of a megabyte can take hours or hundreds of gigabytes
(CVE-2024-6232), and where a header says that its file ends, the next one is looked for, forwards or backwards.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
MAX_HEADERS = 2**20  # bytes of the extended headers of one member: names, not data
PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
EXTENDED = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE, *PAX)


class Member(NamedTuple):
    """A file in a tar: its name, and where its bytes are."""

    name: str
    begin: int
    size: int
    is_sparse: bool


def members(file: BinaryIO) -> Iterator[Member]:
    """Yield the regular files, in their order. Raises ReadError where a header is damaged, or the tar is cut off."""
    number, total, at = file.fileno(), os.fstat(file.fileno()).st_size, 0
    said: dict[bytes, bytes] = {}  # by the extended headers of the next member
    begun = 0  # where they begin
    try:
        while any(block := os.pread(number, BLOCK, at)):
            about, begin = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape"), at + BLOCK
            if about.type in EXTENDED:
                end = _end(begin, about.size, min(total, begun + MAX_HEADERS))
                said |= _said(about.type, os.pread(number, about.size, begin))
            else:
                is_sparse = about.type == tarfile.GNUTYPE_SPARSE or any(name.startswith(b"GNU.sparse") for name in said)
                more = about.type == tarfile.GNUTYPE_SPARSE and block[482]
                while more:  # headers of an old sparse file that did not fit in the first
                    more, begin = os.pread(number, BLOCK, begin)[504], begin + BLOCK
                size = int(said.get(b"size", about.size))
                is_stored = about.isreg() or about.type not in tarfile.SUPPORTED_TYPES
                end = _end(begin, size if is_stored else 0, total)
                if about.isreg():
                    name = said[b"path"].decode("utf-8", "surrogateescape") if b"path" in said else about.name
                    yield Member(name.rstrip("/"), begin, size, is_sparse)
                said, begun = {}, end
            at = end
    except (tarfile.HeaderError, ValueError, IndexError):
        block = b""
    if len(block) < BLOCK:  # a whole tar ends with blocks of zeros
        raise tarfile.ReadError(f"it is damaged or cut off at byte {at:,} of {total:,}")


def _end(begin: int, size: int, most: int) -> int:
    """Return where the blocks of so many bytes end. Raises ValueError where that cannot be."""
    end = begin + -(-size // BLOCK) * BLOCK
    if size < 0 or end > most:
        raise ValueError
    return end


def _said(kind: bytes, content: bytes) -> dict[bytes, bytes]:
    """Return what an extended header says of the member after it: `length keyword=value` and a new line, each."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {b"path": content.partition(b"\0")[0]}
    found, at = {}, 0
    while kind in PAX and content[at : at + 1].strip(b"\0"):
        length, _, _ = content[at : at + 20].partition(b" ")
        end = at + int(length)
        keyword, equals, value = content[at + len(length) + 1 : end].partition(b"=")
        if end < at + 5 or end > len(content) or not equals or value[-1:] != b"\n":
            raise ValueError
        found[keyword] = value[:-1]
        at = end
    return found
