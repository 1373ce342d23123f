"""AIM on MNIST by epoch: test error and Inception Score on the way of benchmarks/table1.py's longest run.

    python benchmarks/epochs.py        after python benchmarks/table1.py mnist --images PATH

Writes benchmarks/results/mnist-epochs.json and .md, and two figures in docs/figures.
"""

from __future__ import annotations

import json
from pathlib import Path

from aimgan.experiments.finish import save
from aimgan.experiments.images import TABLE_1
from aimgan.experiments.tables import pipes
from aimgan.figures import Curve, error_by_epoch, score_by_epoch

HERE = Path(__file__).parent
RESULTS, FIGURES = HERE / "results", HERE.parent / "docs" / "figures"


def main() -> None:
    results = json.loads((RESULTS / "table1-mnist.json").read_text())
    (cell,) = [cell for cell in results["cells"] if cell["method"] == "aim-10"]
    rows, paper = cell["epochs"], TABLE_1["reconstruction_mse"]["mnist/aim"][0]
    lines = [
        (f"{row['epoch']:g}", f"{row['reconstruction_mse']:.4f}", f"{row['reconstruction_mse_running']:.4f}",
         f"{row['inception_score']:.3f}", f"{100 * row['coverage_80']:.1f}")
        for row in rows
    ]  # fmt: skip
    passed = [row["epoch"] for row in rows if row["reconstruction_mse"] <= paper]
    told = (
        f"It passes the paper's {paper} at epoch {passed[0]:g}." if passed else f"It does not pass the paper's {paper}."
    )
    ceiling = cell["scores"]["inception_score_real"]
    head = (
        f"`python benchmarks/epochs.py`, of the run `{cell['folder']}` of `{results['command']}` ({results['date']}). "
        "MSE of the test set on [0, 1], batch norm re-estimated on G(z) (and running); Inception Score of 5,000 "
        f"samples in one split (the real test set's, in ten: {ceiling:.3f}). {told}"
    )
    columns = ("epoch", "test MSE", "running statistics", "Inception Score", "codes in the 80 % interval, %")
    (RESULTS / "mnist-epochs.json").write_text(
        json.dumps({"command": "python benchmarks/epochs.py", "rows": rows}, indent=1) + "\n"
    )
    (RESULTS / "mnist-epochs.md").write_text(f"{head}\n\n{pipes(columns, lines)}\n")
    epochs = [row["epoch"] for row in rows]
    caption = f"mnist/aim, seed {cell['seed']}, Table 3: {results['command']}"
    errors = Curve("AIM", epochs, [row["reconstruction_mse"] for row in rows])
    scores = Curve("AIM", epochs, [row["inception_score"] for row in rows])
    save(error_by_epoch([errors], caption, reference=("the paper's, 400 epochs", paper)), FIGURES / "mnist-error.png")
    save(score_by_epoch([scores], caption, ceiling=("real test images", ceiling)), FIGURES / "mnist-score.png")
    print((RESULTS / "mnist-epochs.md").read_text())


if __name__ == "__main__":
    main()
