"""Keep what `aimgan reproduce` measured: its results file, and the tables rendered from it.

    python benchmarks/collect.py table2 FOLDER NAME       -> benchmarks/results/NAME.json, .md, .tex and NAME-short.md
    python benchmarks/collect.py merged FOLDER NAME       -> the same; methods that FOLDER has not got stay as they were

FOLDER is what `aimgan reproduce` wrote, or a results file, to render it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from aimgan.paper import table2
from aimgan.paper.results_page import provenance

RESULTS = Path(__file__).parent / "results"


def merged(results: dict[str, Any], name: str) -> dict[str, Any]:
    """Put newly measured cells in the place of the committed ones of the same method, seed and length."""
    committed = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    measured = {(cell["method"], cell["seed"], cell["folder"]): cell for cell in results["cells"]}
    cells = [measured.pop((c["method"], c["seed"], c["folder"]), c) for c in committed["cells"]]
    if measured:
        raise SystemExit(f"{name}.json has no cell {min(measured)}: run the whole table")
    return {**committed, "date": results["date"], "real": results["real"], "cells": cells}


def main(kind: str, source: Path, name: str) -> None:
    file = source if source.suffix == ".json" else source / "table2.json"
    results = json.loads(file.read_text(encoding="utf-8"))
    if kind == "merged":
        results = merged(results, name)
    pages = {
        f"{name}.json": json.dumps(results, indent=1) + "\n",
        f"{name}.md": table2.page(results).markdown(),
        f"{name}.tex": table2.page(results).latex(),
        f"{name}-short.md": f"{provenance(results)}\n\n{table2.short(results).markdown()}\n",
    }
    for page, text in pages.items():
        (RESULTS / page).write_text(text, encoding="utf-8")
        print(f"wrote benchmarks/results/{page}")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("table2", "merged"):
        raise SystemExit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
