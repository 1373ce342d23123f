"""The code blocks of the documentation, and what the comment before a block says of it.

    <!-- not run: REASON -->                 its commands are only parsed, its Python is only compiled
    <!-- not run [WORD, ...]: REASON -->     so are the lines of commands that hold one of the words
    <!-- source: FILE -->                    it shows code of the package (benchmarks/tables.py)

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
LANGUAGES = {"python", "sh", "math", "text", "json", "xml"}  # only the first two can run


@dataclass(frozen=True)
class Block:
    """One fenced block: its code, and why all of it, or the lines with some words, are not run."""

    page: str
    line: int  # of its first line of code
    language: str
    file: str | None
    code: str
    reason: str | None = None
    words: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether at least some of its lines are run."""
        return self.reason is None or bool(self.words)

    def is_only_parsed(self, line: str) -> bool:
        """Return whether a line of commands is parsed and not run."""
        if self.reason is None:
            return False
        return not self.words or any(word in line for word in self.words)


def blocks(page: Path) -> list[Block]:
    """Return the blocks of Python and of commands of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        language, _, rest = match["info"].partition(" ")
        line = text[: match.start("code")].count("\n") + 1
        assert language in LANGUAGES, f"{page.name}:{line}: got {language!r}; expected one of {sorted(LANGUAGES)}"
        if language in ("python", "sh") and "<!-- source: " not in match["before"]:
            title, comment = TITLE.search(rest), NOT_RUN.search(match["before"])
            block = Block(page.name, line, language, title and title[1], match["code"], *not_run(comment))
            found.append(block)
    return found


def not_run(comment: re.Match[str] | None) -> tuple[str | None, tuple[str, ...]]:
    """Return the reason of a comment `not run`, and its words."""
    if comment is None:
        return None, ()
    words = comment["words"].split(",") if comment["words"] else []
    return comment["reason"], tuple(word.strip() for word in words)


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a block of sh: its line, and its words without the variables that are set before it."""
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
    if "-m" in words:
        module = words.index("-m") + 1
        if words[module : module + 1] == ["aimgan"]:
            return words[module + 1 :]
    return None
