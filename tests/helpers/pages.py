"""The code blocks of the pages, and what the comment before one says of it.

    <!-- not run: REASON -->                 its commands are parsed, its Python is compiled
    <!-- not run [WORD, ...]: REASON -->     so are those lines of commands that hold one of the words
    <!-- source: FILE -->                    it shows the package's own code (benchmarks/tables.py)

A Python block with a title, ```python title="NAME.py", is a file of that name for the blocks after it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?P<before>(?:^<!--.*-->\n)*)^```(?P<info>.*)\n(?P<code>(?:.*\n)*?)^```$", re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run(?: \[(?P<words>[^]]+)\])?: (?P<reason>.+) -->")
TITLE = re.compile(r'title="([\w.]+)"')
LANGUAGES = {"python", "sh", "math", "text", "json", "xml"}  # of which the first two run


@dataclass(frozen=True)
class Block:
    """One fenced block: its code, and why all of it, or the lines with some words, do not run."""

    page: str
    line: int  # of its first line of code
    language: str
    file: str | None
    code: str
    reason: str | None
    words: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether some of it does."""
        return self.reason is None or bool(self.words)

    def spared(self, line: str) -> bool:
        """Whether a line of commands is only parsed."""
        return self.reason is not None and (not self.words or any(word in line for word in self.words))


def blocks(page: Path) -> list[Block]:
    """Return the Python and the commands of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [block for found in BLOCK.finditer(text) if (block := _block(page, text, found))]


def _block(page: Path, text: str, found: re.Match[str]) -> Block | None:
    language, _, rest = found["info"].partition(" ")
    place = f"{page.name}:{text[: found.start('code')].count(chr(10)) + 1}"
    assert language in LANGUAGES, f"{place}: a block of {language!r}; expected one of {sorted(LANGUAGES)}"
    if language not in ("python", "sh") or "<!-- source: " in found["before"]:
        return None
    said, title = NOT_RUN.search(found["before"]), TITLE.search(rest)
    words = tuple(word.strip() for word in said["words"].split(",")) if said and said["words"] else ()
    name, _, line = place.partition(":")
    return Block(
        name, int(line), language, title and title[1], found["code"], said["reason"] if said else None, words
    )  # fmt: skip


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a block of sh: its line, and its words without settings of the environment before it."""
    for line in block.code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&<>")
        lexer.whitespace_split, command = True, []
        for word in [*lexer, ";"]:
            if word == ";":
                if command:
                    yield line.strip(), command
                command = []
            elif command or not re.match(r"[A-Z_]+=", word):
                command.append(word)


def arguments_of_aimgan(words: list[str]) -> list[str] | None:
    """Return what follows `aimgan`, `python -m aimgan` or a launcher's `-m aimgan`; None for another program."""
    if words[0] == "aimgan":
        return words[1:]
    if "-m" in words and words[words.index("-m") + 1 : words.index("-m") + 2] == ["aimgan"]:
        return words[words.index("-m") + 2 :]
    return None
