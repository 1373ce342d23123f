"""The files in a tar. Only tarfile's parser of single headers is used; the rest of tarfile trusts what headers say.

Before Python 3.11.10 and 3.12.6, tarfile can take hours or hundreds of gigabytes for a header of a megabyte
(CVE-2024-6232), and it looks for the next header wherever the size in a header leads, even backwards.
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
    """Yield the regular files in their order. Raises ReadError if a header is damaged or the tar is cut off."""
    number, total = file.fileno(), os.fstat(file.fileno()).st_size
    fields: dict[bytes, bytes] = {}  # from the extended headers of the next member
    at = begun = 0  # the next header; the first extended header of the next member
    try:
        while any(block := os.pread(number, BLOCK, at)):
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            begin = at + BLOCK
            if header.type in EXTENDED:
                end = _end(begin, header.size, min(total, begun + MAX_HEADERS))
                fields |= _fields(header.type, os.pread(number, header.size, begin))
                at = end
                continue
            is_sparse = header.type == tarfile.GNUTYPE_SPARSE
            more = is_sparse and block[482]
            while more:  # further headers of an old sparse file
                more = os.pread(number, BLOCK, begin)[504]
                begin += BLOCK
            size = int(fields.get(b"size", header.size))
            has_content = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
            at = begun = _end(begin, size if has_content else 0, total)
            if header.isreg():
                name = fields[b"path"].decode("utf-8", "surrogateescape") if b"path" in fields else header.name
                is_sparse = is_sparse or any(key.startswith(b"GNU.sparse") for key in fields)
                yield Member(name.rstrip("/"), begin, size, is_sparse)
            fields = {}
    except (tarfile.HeaderError, ValueError, IndexError):
        block = b""
    if len(block) < BLOCK:  # a whole tar ends with blocks of zeros
        raise tarfile.ReadError(f"it is damaged or cut off at byte {at:,} of {total:,}")


def _end(begin: int, size: int, most: int) -> int:
    """Return where the blocks of `size` bytes end. Raises ValueError if that is before `begin` or after `most`."""
    end = begin + -(-size // BLOCK) * BLOCK
    if size < 0 or end > most:
        raise ValueError
    return end


def _fields(kind: bytes, content: bytes) -> dict[bytes, bytes]:
    """Return the fields in an extended header, which are lines of the form `length keyword=value`."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {b"path": content.partition(b"\0")[0]}
    fields: dict[bytes, bytes] = {}
    at = 0
    while kind in PAX and content[at : at + 1].strip(b"\0"):
        length, _, _ = content[at : at + 20].partition(b" ")
        end = at + int(length)
        keyword, equals, value = content[at + len(length) + 1 : end].partition(b"=")
        if end < at + 5 or end > len(content) or not equals or value[-1:] != b"\n":
            raise ValueError
        fields[keyword] = value[:-1]
        at = end
    return fields
