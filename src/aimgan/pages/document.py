"""Pages for people: blocks that are written both as Markdown and as HTML that needs no other file.

Text is written once, in a language of two marks: `code` and **strong**. What comes from outside (a path, a setting, a
name in a file) goes through `code`, so that it is shown and obeyed by neither form; in HTML all of it is escaped, and a
policy in the page's head forbids whatever is not an image or a style of its own.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import NamedTuple, Protocol, runtime_checkable

from rich.markup import escape as rich_escape

from aimgan.errors import plain
from aimgan.pages.stylesheet import STYLE
from aimgan.pages.tables import Table, pipes
from aimgan.pages.webpage import webpage

LONG = 24  # characters: a cell of more is a sentence, and gets room on a narrow screen
STRONG = re.compile(r"\*\*(.+?)\*\*")


@runtime_checkable
class Block(Protocol):
    """A piece of a page."""

    def markdown(self) -> str:
        """Return it in Markdown."""

    def html(self) -> str:
        """Return it in HTML."""


def code(value: object) -> str:
    """Return a value of any origin as text that is only shown."""
    return f"`{plain(str(value)).replace('`', chr(39)) or ' '}`"


def html_of(text: str) -> str:
    """Return marked text in HTML."""
    parts = [escape(part) for part in text.split("`")]
    parts[::2] = [STRONG.sub(r"<strong>\1</strong>", part) for part in parts[::2]]
    parts[1::2] = [f"<code>{part}</code>" for part in parts[1::2]]
    return "".join(parts)


def rich_of(text: str) -> str:
    """Return marked text in rich's markup, for a terminal."""
    parts = [rich_escape(part) for part in text.split("`")]
    parts[::2] = [STRONG.sub(r"[bold]\1[/bold]", part) for part in parts[::2]]
    return "".join(parts)


class Heading(NamedTuple):
    """A title; `level` 2 or 3."""

    text: str
    level: int = 2

    def markdown(self) -> str:
        """Return it in Markdown."""
        return f"{'#' * self.level} {self.text}"

    def html(self) -> str:
        """Return it in HTML."""
        return f"<h{self.level}>{html_of(self.text)}</h{self.level}>"


class Prose(NamedTuple):
    """A paragraph; `mood` is a class of the style sheet: "lead", "note", "alarm", "calm"."""

    text: str
    mood: str = ""

    def markdown(self) -> str:
        """Return it in Markdown."""
        return self.text

    def html(self) -> str:
        """Return it in HTML."""
        return f'<p class="{self.mood}">{html_of(self.text)}</p>' if self.mood else f"<p>{html_of(self.text)}</p>"


class Listing(NamedTuple):
    """Lines of code, to be copied."""

    text: str
    language: str = ""

    def markdown(self) -> str:
        """Return it in Markdown."""
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", self.text)), default=0))
        return f"{fence}{self.language}\n{self.text}\n{fence}"

    def html(self) -> str:
        """Return it in HTML."""
        return f"<pre><code>{escape(self.text)}</code></pre>"


class Grid(NamedTuple):
    """A table of marked text; a row's first cell names the others."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return it in Markdown."""
        head, *rows = ([cell.replace("|", r"\|") for cell in line] for line in (self.columns, *self.rows))
        return pipes(head, rows)

    def html(self) -> str:
        """Return it in HTML: where it is wider than the page, it is moved sideways alone."""
        head = "".join(f"<th>{html_of(cell)}</th>" for cell in self.columns)
        body = "\n".join(f"<tr>{self._line(line)}</tr>" for line in self.rows)
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'

    def _line(self, line: Sequence[str]) -> str:
        cells = ("<td class='says'>" * (len(cell) > LONG) or "<td>" for cell in line[1:])
        rest = "".join(f"{start}{html_of(cell)}</td>" for start, cell in zip(cells, line[1:], strict=True))
        return f'<th scope="row">{html_of(line[0])}</th>{rest}'

    def table(self, title: str, note: str = "") -> Table:
        """Return it for a terminal."""
        rows = tuple(tuple(rich_of(cell) for cell in line) for line in self.rows)
        return Table(title, tuple(self.columns), rows, note)


class Card(NamedTuple):
    """A number, what stands beside it, what it says and what it cannot say."""

    name: str
    value: str
    beside: str
    says: str
    cannot: str


class Cards(NamedTuple):
    """Numbers with their meaning: a table in Markdown, cards on a page."""

    cards: Sequence[Card]

    def markdown(self) -> str:
        """Return it in Markdown."""
        return Grid(("score", "this run", "beside", "says", "cannot say"), self.cards).markdown()

    def html(self) -> str:
        """Return it in HTML."""
        return '<div class="cards">\n' + "\n".join(map(_card, self.cards)) + "\n</div>"


def _card(card: Card) -> str:
    name, value, beside, says, cannot = map(html_of, card)
    value = re.sub(r"( ± .*)", r"<small>\1</small>", value)
    beside = f'<div class="beside">{beside}</div>' if beside else ""
    cannot = f'<p class="cannot"><span>Cannot say:</span> {cannot}</p>' if cannot else ""
    return f'<article><h4>{name}</h4><div class="value">{value}</div>{beside}<p>{says}</p>{cannot}</article>'


class Legend(NamedTuple):
    """Which of the charts' lines is whose: (letter, name) in the lines' order."""

    items: Sequence[tuple[str, str]]

    def markdown(self) -> str:
        """Return nothing: there are no charts in Markdown."""
        return ""

    def html(self) -> str:
        """Return it in HTML."""
        parts = (
            f'<span class="entry"><span class="key" style="background: var(--curve-{place})">{escape(key)}</span> '
            f"{html_of(name)}</span>"
            for place, (key, name) in enumerate(self.items)
        )
        return f'<p class="legend">{" ".join(parts)}</p>'


class Charts(NamedTuple):
    """Charts as (title, <svg>), side by side as far as the page is wide; `path` has them as one picture."""

    charts: Sequence[tuple[str, str]]
    path: str = ""

    def markdown(self) -> str:
        """Return it in Markdown: a link."""
        return f"![curves]({self.path})" if self.path else ""

    def html(self) -> str:
        """Return it in HTML."""
        parts = (f"<figure><figcaption>{html_of(title)}</figcaption>{svg}</figure>" for title, svg in self.charts)
        return '<div class="charts">\n' + "\n".join(parts) + "\n</div>"


class Picture(NamedTuple):
    """A PNG with its caption; `path` is where Markdown finds it."""

    caption: str
    data: bytes
    path: str = ""

    def markdown(self) -> str:
        """Return it in Markdown: a link."""
        return f"![{self.caption}]({self.path})\n\n{self.caption}" if self.path else ""

    def html(self) -> str:
        """Return it in HTML."""
        source = f"data:image/png;base64,{b64encode(self.data).decode()}"
        caption, alt = html_of(self.caption), escape(re.sub(r"`|[*]{2}", "", self.caption))
        return f'<figure><img src="{source}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'


class Pictures(NamedTuple):
    """Pictures side by side as far as the page is wide."""

    pictures: Sequence[Picture]

    def markdown(self) -> str:
        """Return it in Markdown."""
        return "\n\n".join(filter(None, (picture.markdown() for picture in self.pictures)))

    def html(self) -> str:
        """Return it in HTML."""
        return '<div class="pictures">\n' + "\n".join(picture.html() for picture in self.pictures) + "\n</div>"


class Folded(NamedTuple):
    """Blocks that a page shows when they are asked for."""

    title: str
    blocks: Sequence[Block]

    def markdown(self) -> str:
        """Return it in Markdown."""
        return "\n\n".join([f"### {self.title}", *(block.markdown() for block in self.blocks)])

    def html(self) -> str:
        """Return it in HTML."""
        inside = "\n".join(block.html() for block in self.blocks)
        return f"<details><summary>{html_of(self.title)}</summary>\n{inside}\n</details>"


def markdown(title: str, blocks: Sequence[Block]) -> str:
    """Return a page in Markdown."""
    return "\n\n".join(filter(None, [f"# {title}", *(block.markdown() for block in blocks)])) + "\n"


def html(title: str, blocks: Sequence[Block]) -> str:
    """Return a page of HTML, pictures inside it: light or dark as the reader has it, wide or on a telephone."""
    body = "\n".join(block.html() for block in blocks)
    return webpage(title.replace("`", ""), STYLE, f"<h1>{html_of(title)}</h1>\n{body}")
