"""The output of `aimgan info` for a run or a saved model: a table on a terminal, `name: value` lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from aimgan import console as screen
from aimgan.card import Card
from aimgan.checked import regular
from aimgan.errors import plain
from aimgan.model import CARD, CONFIG, WEIGHTS
from aimgan.score_meanings import MEANINGS, number
from aimgan.sharing.hub import described

LONGEST = 20_000  # characters of a card that are shown
Rows = dict[str, str]


def tell(source: str, console: Console) -> None:
    """Print what a run, a saved model's folder or a Hub id is; where there is no run beside it, its card too.

    Raises AimganError where there is no model, or no whole one.
    """
    card, folder = described(source)
    parts = [_model(card), _recipe(card), _scores(card), _made(card), _files(folder)]
    if console.is_terminal:
        console.print(_table(source, [part for part in parts if part]))
    else:
        for name, value in (row for part in parts for row in part.items()):
            screen.say(console, f"{name}: {value}")
    if not card.record:
        _print_page(folder / CARD, console)


def _model(card: Card) -> Rows:
    count = {f"parameters of {name}": f"{number:,}" for name, number in card.parameters.items()}
    x, codes = str(card.shape), f"{card.dim} dimensions"
    return {"objective": plain(card.objective), "networks": card.networks, "x": x, "codes": codes, **count}


def _recipe(card: Card) -> Rows:
    return {plain(name): plain(str(value)) for name, value in card.about.items()}


def _scores(card: Card) -> Rows:
    return {plain(name): number(value) for name, value in card.numbers.items()}


def _made(card: Card) -> Rows:
    if not card.record:
        return {}
    versions = ", ".join(f"{name} {value}" for name, value in card.versions().items())
    return {"data": plain(card.data()[0]), "command": card.command(), "made with": versions}


def _files(folder: Path) -> Rows:
    sizes = {name: (folder / name).stat().st_size for name in (CONFIG, WEIGHTS, CARD) if (folder / name).exists()}
    return {"folder": plain(str(folder)), **{name: f"{size:,} bytes" for name, size in sizes.items()}}


def _table(title: str, parts: list[Rows]) -> Table:
    table = Table(title=Text(plain(title), style="bold"), title_justify="left", show_header=False, box=box.SIMPLE)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for part in parts:
        for name, value in part.items():
            meaning = f"  {MEANINGS[name].says}" if name in MEANINGS else ""
            table.add_row(Text(name), Text.assemble(value, (meaning, "dim")))
        table.add_section()
    return table


def _print_page(path: Path, console: Console) -> None:
    """Print a card's text without its header: rendered on a terminal, as it is in a pipe."""
    lines = list(_lines(path))
    if console.is_terminal:
        console.print(Markdown("\n".join(lines), hyperlinks=False))
    else:
        for line in lines:
            screen.say(console, line)


def _lines(path: Path) -> Iterator[str]:
    if not path.exists():
        return
    with regular(path).open(encoding="utf-8", errors="replace") as file:
        text = file.read(LONGEST)
    body = text.partition("\n---\n")[2] if text.startswith("---\n") else text
    yield from (plain(line) for line in body.strip().splitlines())
