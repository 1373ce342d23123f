"""What the benchmarks share: where results go, what is recorded with each of them, and their pages in Markdown.

Importing this module also makes the modules of tests/helpers importable, as `pythonpath` in pyproject.toml does for
pytest.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aimgan.pages.tables import pipes
from aimgan.training.environment import environment

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
RUNS = ROOT / "benchmarks" / "runs"  # not in git
FIGURES = ROOT / "docs" / "figures"
sys.path.append(str(ROOT / "tests" / "helpers"))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help shows a script's docstring as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def about(command: str | None = None) -> dict[str, Any]:
    """Return what every result records: the command (without one: the one that was typed), the day and the machine."""
    if command is None:
        command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return {"command": command, "date": time.strftime("%Y-%m-%d"), "environment": environment()}


def origin(result: dict[str, Any]) -> str:
    """Return how a page begins: the command, the day, the processor, its threads and torch's version."""
    machine = result["environment"]
    return (
        f"`{result['command']}`: {result['date']}, {machine['processor']}, {machine['threads']} thread(s), Python "
        f"{machine['python']}, torch {machine['torch']}"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table in Markdown, which ends with a line break."""
    return pipes(columns, [[str(value) for value in row] for row in rows]) + "\n"


def kept(path: Path) -> Any:
    """Return an earlier result, to be added to, or an empty dict where there is none."""
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    return {}


def write(path: Path, result: Any, page: str) -> None:
    """Write a result as JSON and its page beside it, and print the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB. Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
