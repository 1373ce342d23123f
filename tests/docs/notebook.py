"""Run a notebook's code cells without Jupyter; `python tests/docs/notebook.py NOTEBOOK` saves it with its outputs."""

from __future__ import annotations

import base64
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

Cell = dict[str, Any]


def code_of(cell: Cell) -> str:
    return "".join(cell["source"])


def code_cells(path: Path) -> list[Cell]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(cells: list[Cell]) -> dict[str, Any]:
    """Execute the cells in one namespace, which is returned. What a cell prints and draws becomes its outputs."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for count, cell in enumerate(cells, 1):
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(code_of(cell), f"cell {count}", "exec"), names)  # a notebook of this repository
        cell["execution_count"] = count
        cell["outputs"] = figures()
        if printed.getvalue():
            lines = printed.getvalue().splitlines(keepends=True)
            cell["outputs"].insert(0, {"name": "stdout", "output_type": "stream", "text": lines})
    return names


def figures() -> list[Cell]:
    """Return the open figures as outputs, and close them."""
    outputs = []
    for number in plt.get_fignums():
        image = io.BytesIO()
        plt.figure(number).savefig(image, format="png", dpi=80)
        plt.close(number)
        png = base64.b64encode(image.getvalue()).decode()
        outputs.append({"data": {"image/png": png}, "metadata": {}, "output_type": "display_data"})
    return outputs


if __name__ == "__main__":
    file = Path(sys.argv[1])
    notebook = json.loads(file.read_text(encoding="utf-8"))
    run([cell for cell in notebook["cells"] if cell["cell_type"] == "code"])
    file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
