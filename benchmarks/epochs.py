"""AIM on MNIST by epoch: test error and Inception Score on the way of benchmarks/table1.py's longest run.

    python benchmarks/epochs.py IMAGES        after python benchmarks/table1.py mnist --images IMAGES

Writes benchmarks/results/mnist-epochs.json and .md, and two figures in docs/figures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aimgan.data import Images
from aimgan.evaluation.feature_networks import feature_network
from aimgan.evaluation.image_scores import PROGRESS, seen
from aimgan.figures import Curve, error_by_epoch, score_by_epoch
from aimgan.metrics import inception_score
from aimgan.pages.tables import pipes
from aimgan.recipes.images import TABLE_1
from aimgan.runs.finish import save

HERE = Path(__file__).parent
RESULTS, FIGURES = HERE / "results", HERE.parent / "docs" / "figures"


def real_score(images: str) -> float:
    """The score of 5,000 test images in one split, as the samples' on the way."""
    data = Images(images, size=28, channels=1).load()
    chunks = data.chunks(n=PROGRESS)
    logits = seen(feature_network(data, "digits"), chunks, kept=0).logits
    return inception_score(logits, splits=1)["inception_score"]


def main(images: str) -> None:
    results = json.loads((RESULTS / "table1-mnist.json").read_text())
    (cell,) = [cell for cell in results["cells"] if cell["method"] == "aim-10"]
    rows, paper = cell["epochs"], TABLE_1["reconstruction_mse"]["mnist/aim"][0]
    lines = [
        (f"{row['epoch']:g}", f"{row['reconstruction_mse']:.4f}", f"{row['reconstruction_mse_running']:.4f}",
         f"{row['inception_score_5000']:.3f}", f"{100 * row['coverage_80']:.1f}")
        for row in rows
    ]  # fmt: skip
    passed = [row["epoch"] for row in rows if row["reconstruction_mse"] <= paper]
    told = (
        f"It passes the paper's {paper} at epoch {passed[0]:g}." if passed else f"It does not pass the paper's {paper}."
    )
    ceiling = real_score(images)
    run = f"of the run `{cell['folder']}` of `{results['command']}` ({results['date']})"
    head = (
        f"`python benchmarks/epochs.py IMAGES`, {run}. "
        "MSE of the test set on [0, 1], batch norm re-estimated on G(z) (and running); Inception Score of 5,000 "
        f"samples in one split (of 5,000 test images: {ceiling:.3f}). {told}"
    )
    columns = ("epoch", "test MSE", "running statistics", "Inception Score", "codes in the 80 % interval, %")
    (RESULTS / "mnist-epochs.json").write_text(
        json.dumps({"command": "python benchmarks/epochs.py IMAGES", "rows": rows}, indent=1) + "\n"
    )
    (RESULTS / "mnist-epochs.md").write_text(f"{head}\n\n{pipes(columns, lines)}\n")
    epochs = [row["epoch"] for row in rows]
    caption = f"mnist/aim, seed {cell['seed']}, Table 3: {results['command']}"
    errors = Curve("AIM", epochs, [row["reconstruction_mse"] for row in rows])
    scores = Curve("AIM", epochs, [row["inception_score_5000"] for row in rows])
    save(error_by_epoch([errors], caption, reference=("the paper's, 400 epochs", paper)), FIGURES / "mnist-error.png")
    save(score_by_epoch([scores], caption, ceiling=("real test images", ceiling)), FIGURES / "mnist-score.png")
    print((RESULTS / "mnist-epochs.md").read_text())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
