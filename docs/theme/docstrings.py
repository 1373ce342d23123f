"""Docstrings for the API pages: paragraphs in aligned columns, as this project writes them, stay as they were typed."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

COLUMNS = re.compile(r"^ *\S.*?\S {2,}\S", re.MULTILINE)
FENCED = "```text\n{}\n```"


class Columns(Extension):
    """Puts a fence around each paragraph of a docstring that has columns."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Change the docstring of anything that is documented."""
        if obj.docstring:
            obj.docstring.value = with_columns(obj.docstring.value)


def with_columns(text: str) -> str:
    """Return a docstring with its paragraphs of columns in fences; indented ones are code already."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        FENCED.format(part) if COLUMNS.search(part) and not part.startswith("    ") else part for part in paragraphs
    )
