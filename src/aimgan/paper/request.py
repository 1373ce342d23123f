"""What `aimgan reproduce` was asked for, and where and with what it was done: the head of every table it writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from aimgan.errors import AimganError
from aimgan.files import write_json, write_text
from aimgan.paper.cells import Cell
from aimgan.paper.methods import Method

Results = Mapping[str, Any]  # what a results file holds


@dataclass(frozen=True)
class Request:
    """A target with everything decided. Cells are in `output`/cells, what is made of them is in `output`."""

    target: str
    methods: tuple[Method, ...]
    data: str
    seeds: tuple[int, ...]
    steps: int | None  # None: each recipe's own
    output: Path
    workers: int
    device: str  # cpu or cuda
    retry: bool
    command: str
    preset: str | None = None  # of images: how large and how long
    path: str | None = None  # where images are, if they are not to be loaded from the Hub

    @property
    def folder(self) -> Path:
        """Where the cells are."""
        return self.output / "cells"

    def cell(self, method: Method, seed: int) -> Cell:
        """Return a method's cell."""
        name = method.recipe(self.data)
        return Cell(name, method.settings, seed, self.steps, self.device, self.preset, self.path)

    def head(self) -> dict[str, Any]:
        """Return the beginning of a results file."""
        gpu = {"gpu": torch.cuda.get_device_name()} if self.device == "cuda" else {}
        return {
            "target": self.target,
            "data": self.data,
            "command": self.command,
            **({"preset": self.preset} if self.preset else {}),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "device": self.device,
            **gpu,
            "workers": self.workers,
            "seeds": list(self.seeds),
        }


def folder_made(folder: Path) -> Path:
    """Make a folder to write in. Raises AimganError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise AimganError(f"cannot write in {folder} ({reason.strerror}): choose another --output") from None
    return folder


def write_results(results: Results, path: Path, pages: Mapping[str, str]) -> list[Path]:
    """Write a results file, and beside it the pages rendered from it, by ending. Return all files."""
    folder_made(path.parent)
    write_json(path, results)
    rendered = {path.with_suffix(kind): text for kind, text in pages.items()}
    for page, text in rendered.items():
        write_text(page, text)
    return [path, *rendered]


def provenance(results: Results, environments: Iterable[Mapping[str, Any] | None]) -> str:
    """Return a results file's command, date, machine and versions in a line of Markdown."""
    made = [environment for environment in environments if environment]

    def all_of(name: str) -> str:
        return " and ".join(dict.fromkeys(str(environment[name]) for environment in made)) or "unknown"

    machine = results.get("gpu") or f"{all_of('processor')}, {all_of('threads')} thread a run"
    versions = f"Python {all_of('python')}, torch {all_of('torch')}, aimgan {all_of('aimgan')}"
    return f"`{results['command']}`: {results['date']}, {machine}, {results['workers']} at a time, {versions}."


def without_lists(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what is long (a number for each mode, histograms): pairs such as the spread stay."""
    return {name: value for name, value in scores.items() if not isinstance(value, list) or len(value) <= 2}


def read(path: Path) -> Results:
    """Read a results file, to render it again."""
    return json.loads(path.read_text(encoding="utf-8"))
