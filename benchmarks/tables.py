"""Put the tables of benchmarks/results into the pages that show them: python benchmarks/tables.py [--check]

A page marks the place by `<!-- table: NAME -->` and `<!-- end -->`; NAME.md of the results goes between. Between
`<!-- source: FILE#NAME -->` and `<!-- end -->` goes that function of FILE (or Class.method; without #NAME all of it).
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SOURCE = re.compile(r"(<!-- source: ([\w/.]+?)(?:#([\w.]+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: Path) -> str:
    """Return the page's text with its tables as the results have them."""

    def table(found: re.Match[str]) -> str:
        return found[1] + (ROOT / "benchmarks" / "results" / f"{found[2]}.md").read_text(encoding="utf-8") + found[3]

    def source(found: re.Match[str]) -> str:
        code = (ROOT / found[2]).read_text(encoding="utf-8")
        return f"{found[1]}```python\n{excerpt(code, found[3])}\n```\n{found[4]}"

    return SOURCE.sub(source, MARK.sub(table, page.read_text(encoding="utf-8")))


def excerpt(code: str, name: str | None) -> str:
    """Return a file's code, or that of one function of it, or of Class.method."""
    if name is None:
        return code.rstrip()
    node: ast.AST = ast.parse(code)
    for part in name.split("."):
        node = next(child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == part)
    return textwrap.dedent(ast.get_source_segment(code, node, padded=True) or "")


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
