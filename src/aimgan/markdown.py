"""Escape untrusted values for Markdown."""

from __future__ import annotations

import re
from typing import Any

from aimgan.errors import plain


def code(value: Any) -> str:
    """Return a value as a code span."""
    text = plain(str(value)).replace("`", "'")
    return f"`{text or ' '}`"


def words(value: Any) -> str:
    """Return a value as words in a line, without the characters that make links, pictures, tags and tables."""
    return re.sub(r":(?! )|[^\w .,:;=+%@(){}'/-]", "", plain(str(value)))
