"""Put the tables of benchmarks/results into the pages that show them: python benchmarks/tables.py [--check]

A page marks the place by `<!-- table: NAME -->` and `<!-- end -->`; NAME.md of the results goes between.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: Path) -> str:
    """Return the page's text with its tables as the results have them."""

    def table(found: re.Match[str]) -> str:
        return found[1] + (ROOT / "benchmarks" / "results" / f"{found[2]}.md").read_text(encoding="utf-8") + found[3]

    return MARK.sub(table, page.read_text(encoding="utf-8"))


def main(check: bool) -> None:
    stale = [
        page
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
        if filled(page) != page.read_text(encoding="utf-8")
    ]
    for page in stale:
        if not check:
            page.write_text(filled(page), encoding="utf-8")
        print(f"{'stale' if check else 'filled'}: {page.relative_to(ROOT)}")
    if check and stale:
        sys.exit("run python benchmarks/tables.py")


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
