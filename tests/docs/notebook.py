"""Run a notebook's code cells without Jupyter; `python tests/docs/notebook.py NOTEBOOK` saves it with its outputs."""

from __future__ import annotations

import ast
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
from matplotlib.figure import Figure

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
            value = executed(code_of(cell), f"cell {count}", names)
        cell["execution_count"] = count
        cell["outputs"] = [*figures(), *shown(value, count)]
        if printed.getvalue():
            lines = printed.getvalue().splitlines(keepends=True)
            cell["outputs"].insert(0, {"name": "stdout", "output_type": "stream", "text": lines})
    return names


def executed(code: str, name: str, names: dict[str, Any]) -> Any:
    """Execute a cell of a notebook of this repository, and return the value of its last line, if that has one."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), name, "eval"), names)


def shown(value: Any, count: int) -> list[Cell]:
    """Return the output for the value of a cell: a picture of a figure, or else its text."""
    if value is None:
        return []
    data = {"text/plain": [repr(value)]}
    if isinstance(value, Figure):
        data = {"image/png": picture(value)}
    return [{"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"}]


def picture(figure: Figure) -> str:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=80)
    return base64.b64encode(image.getvalue()).decode()


def figures() -> list[Cell]:
    """Return the open figures as outputs, and close them."""
    outputs = []
    for number in plt.get_fignums():
        png = picture(plt.figure(number))
        plt.close(number)
        outputs.append({"data": {"image/png": png}, "metadata": {}, "output_type": "display_data"})
    return outputs


if __name__ == "__main__":
    file = Path(sys.argv[1])
    notebook = json.loads(file.read_text(encoding="utf-8"))
    run([cell for cell in notebook["cells"] if cell["cell_type"] == "code"])
    file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
