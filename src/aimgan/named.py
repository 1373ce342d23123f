"""Signatures of what this user has named, by which a run or an index is told from a stranger's.

run.json and index.json name the images that they were made of. A stranger's could name any folder of this machine, or
private data on the Hub. So aimgan signs what the user has named, with a key in the cache folder, and asks before it
reads what a file names without a signature.
"""

from __future__ import annotations

import hmac
import secrets

from aimgan.files import cache_folder, replacing_file

KEY, LENGTH = "signing-key", 32  # its name in the cache folder, and its bytes


def signature(source: str) -> str:
    """Return the signature of a path or Hub id that this user has named, as hexadecimal digits."""
    return hmac.new(_key(), source.encode("utf-8", "surrogateescape"), "sha256").hexdigest()


def is_signed(source: str, given: object) -> bool:
    """Return whether a signature, which a file has beside a path or Hub id, is this user's."""
    return isinstance(given, str) and hmac.compare_digest(signature(source).encode(), given.encode())


def _key() -> bytes:
    """Return this user's key, made once; where the cache folder cannot be written, another one each time."""
    path = cache_folder() / KEY
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing_file(path) as fresh:
                fresh.chmod(0o600)
                fresh.write_bytes(secrets.token_bytes(LENGTH))
        key = path.read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        key = b""
    return key if len(key) == LENGTH else secrets.token_bytes(LENGTH)
