"""Keep what `aimgan reproduce` measured: its results file, and the tables rendered from it.

    python benchmarks/collect.py table2 FOLDER NAME       -> benchmarks/results/NAME.json, .md, .tex and NAME-short.md
    python benchmarks/collect.py stability FOLDER NAME    -> benchmarks/results/NAME.json, .md and docs/figures/NAME.png

FOLDER is what `aimgan reproduce` wrote, or a results file, to render it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aimgan.experiments.reproduction import comparison, stability_page
from aimgan.figures import stability_map

RESULTS = Path(__file__).parent / "results"
FIGURES = Path(__file__).parents[1] / "docs" / "figures"


def main(kind: str, source: Path, name: str) -> None:
    results = json.loads((source if source.suffix == ".json" else source / f"{kind}.json").read_text(encoding="utf-8"))
    pages = {f"{name}.json": json.dumps(results, indent=1) + "\n"}
    if kind == "table2":
        pages[f"{name}.md"] = comparison.markdown(results)
        pages[f"{name}.tex"] = comparison.latex(results)
        pages[f"{name}-short.md"] = comparison.short_markdown(results)
    else:
        pages[f"{name}.md"] = stability_page.markdown(results)
        panels = stability_page.panels(results)
        stability_map(panels).savefig(FIGURES / f"{name}.png", metadata={"Software": None})
    for file, text in pages.items():
        (RESULTS / file).write_text(text, encoding="utf-8")
        print(f"wrote benchmarks/results/{file}")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("table2", "stability"):
        raise SystemExit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
