"""Fill the templates of pages with Jinja2 (templates/*.html, *.md). Each HTML page is one file that runs nothing.

No value can break out of a page: in every text, characters that do not print are escaped, and in HTML all markup too.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from aimgan.errors import plain
from aimgan.markdown import words
from aimgan.pages.tables import STRONG


def render(template: str, **values: Any) -> str:
    """Return a page: a template of pages/templates filled with values."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("aimgan.pages"), autoescape=select_autoescape(), undefined=StrictUndefined,
        finalize=_printable, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(base64=_base64, marked=_marked, words=words)
    return environment


def _printable(value: Any) -> str:
    """Return what a template shows of a value: Markup as it is, anything else as printable text."""
    if isinstance(value, Markup):
        return value
    return plain(str(value))


def _marked(text: str) -> Markup:
    """Return a text with the marks `code` and **strong** in HTML."""
    parts = str(escape(plain(text))).split("`")
    parts[::2] = [STRONG.sub(r"<strong>\1</strong>", part) for part in parts[::2]]
    parts[1::2] = [f"<code>{part}</code>" for part in parts[1::2]]
    return Markup("".join(parts))


def _base64(content: bytes) -> Markup:
    return Markup(b64encode(content).decode())
