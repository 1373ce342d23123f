"""Which objective for which need: search, grouping, editing, generation, anomalies, compression, at equal cost.

    python benchmarks/needs.py NAME=PATH ... [--minutes 3] [--seeds 0,1,2]

PATH is a folder with a folder of images for each class. The last class (by name) is held out: no model sees it, and its
images are the anomalies. Each objective of folder/* is trained with the networks that it has on a CPU, codes of 16
numbers and a rate of 0.002, for the same CPU time of one thread; principal components (PCA) of as many numbers as a
code has, and raw pixels, need no training. The scores:

search        share of test images whose class is that of the 5 nearest training images' vote
grouping      normalised mutual information of k-means clusters of test images and their classes
editing       accuracy of logistic regression, which finds the direction of a class, on test images
generation    Frechet distance between samples and test images, over the features of a small classifier of these classes
anomalies     area under the ROC curve of the reconstruction error: images of the held-out class against test images
compression   reconstruction error of test images, at as many numbers as a code has

Adds to benchmarks/results/needs.json and .md.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import folder_runs
import torch
from folder_runs import steps_of, train
from jaxtyping import Float
from rich.console import Console
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from torch import Tensor

import aimgan
from aimgan.data import ImageSet
from aimgan.metrics import FeatureMoments, frechet_distance
from aimgan.metrics.latent import cluster_scores, linear_probe, nearest_neighbour_accuracy
from aimgan.recipes.resolving import recorded
from aimgan.runs.loading import loaded
from aimgan.training.run_dir import RunDir

FOLDER = common.RUNS / "needs"
RESULT = common.RESULTS / "needs.json"
OBJECTIVES = ("aim", "vae", "alice", "aae")
DIM = 16  # numbers in a code
SETTINGS = {"networks.dim": DIM, "lr": 2e-3}
SAMPLES = 5_000
NEEDS = ("search", "grouping", "editing", "generation", "anomalies", "compression")
SMALLER = ("generation", "compression")  # is better

Images = Float[Tensor, "n c h w"]
Codes = Callable[[Images], Tensor]
Rebuilt = Callable[[Images], Images]


def parted(name: str, path: Path) -> tuple[Path, Path]:
    """Return two folders of (hard) links to the images: the classes that are known, and the one that is held out."""
    *known, last = sorted(folder for folder in path.iterdir() if folder.is_dir())
    for part, classes in (("known", known), ("held-out", [last])):
        for folder in classes:
            linked = FOLDER / name / part / folder.name
            linked.mkdir(parents=True, exist_ok=True)
            for image in folder.iterdir():
                if not (linked / image.name).exists():
                    os.link(image, linked / image.name)
    return FOLDER / name / "known", FOLDER / name / "held-out"


class Task:
    """The images of one folder, and what scores a way of turning them into numbers."""

    def __init__(self, data: ImageSet, anomalies: ImageSet) -> None:
        self.train, self.train_labels = all_images(data, "train")
        self.test, self.test_labels = all_images(data, "test")
        self.anomalies = torch.cat([*anomalies.chunks("train"), *anomalies.chunks("test")])
        self.classifier = MLPClassifier((128,), max_iter=30, early_stopping=True, random_state=0)
        self.classifier.fit(self.train.flatten(1).numpy(), self.train_labels.numpy())
        self.real = self.moments(self.test)

    def moments(self, x: Images) -> FeatureMoments:
        """Return the mean and covariance of the classifier's hidden layer."""
        weight, bias = self.classifier.coefs_[0], self.classifier.intercepts_[0]
        return FeatureMoments.of(torch.from_numpy(x.flatten(1).numpy() @ weight + bias).relu())

    def scores(
        self, codes_of: Callable[[Images], Tensor], rebuilt: Callable[[Images], Images] | None
    ) -> dict[str, Any]:
        """Return the scores of codes and, where there are reconstructions, of those."""
        codes = (codes_of(self.train), self.train_labels, codes_of(self.test), self.test_labels)
        found = {
            "search": nearest_neighbour_accuracy(*codes),
            "grouping": cluster_scores(*codes[2:])["kmeans_nmi"],
            "editing": linear_probe(*codes),
        }
        if rebuilt is not None:
            known = (self.test - rebuilt(self.test)).square().flatten(1).mean(1)
            unknown = (self.anomalies - rebuilt(self.anomalies)).square().flatten(1).mean(1)
            truth = [0] * len(known) + [1] * len(unknown)
            found["anomalies"] = float(roc_auc_score(truth, torch.cat([known, unknown]).numpy()))
            found["compression"] = float(known.mean())
        return found

    def of_model(self, run: RunDir) -> dict[str, Any]:
        """Return the scores of a trained model."""
        model = aimgan.load(run.path)

        def codes_of(x: Images) -> Tensor:
            return torch.cat([model.encode(part).mean for part in x.split(500)])

        def rebuilt(x: Images) -> Images:
            return torch.cat([model.reconstruct(part) for part in x.split(500)])

        generator = torch.Generator().manual_seed(0)
        samples = torch.cat([model.generate(500, generator) for _ in range(SAMPLES // 500)])
        distance = float(frechet_distance(self.moments(samples), self.real))
        return {"generation": distance, **self.scores(codes_of, rebuilt)}

    def without_training(self) -> dict[str, dict[str, Any]]:
        """Return the scores of PCA and of raw pixels."""
        components = PCA(DIM, random_state=0).fit(self.train.flatten(1).numpy())

        def codes_of(x: Images) -> Tensor:
            return torch.from_numpy(components.transform(x.flatten(1).numpy()))

        def rebuilt(x: Images) -> Images:
            return torch.from_numpy(components.inverse_transform(codes_of(x).numpy())).view(x.shape).clamp(0, 1)

        return {
            f"PCA, {DIM} numbers": self.scores(codes_of, rebuilt),
            "raw pixels": self.scores(lambda x: x.flatten(1), None),
        }


def all_images(data: ImageSet, split: str) -> tuple[Images, Tensor]:
    """Return the images of a split and their classes."""
    found = data.images.train if split == "train" else data.images.test
    assert found.labels is not None
    return torch.cat([*data.chunks(split)]), torch.as_tensor(found.labels)[data.places(split)]


def page(result: dict[str, Any]) -> str:
    """Return one table a folder: mean and standard deviation over the seeds, the best of each column in bold."""
    parts = [
        f"{common.origin(result)}. Each objective of folder/* has codes of {DIM} numbers and was trained for the same "
        "CPU time; mean and standard deviation over the seeds. Search, grouping, editing, anomalies: higher is better; "
        "generation, compression: lower. What each column measures is at the top of benchmarks/needs.py.\n"
    ]
    for name in dict.fromkeys(row["folder"] for row in result["rows"]):
        of_folder = [row for row in result["rows"] if row["folder"] == name]
        methods = dict.fromkeys(row["method"] for row in of_folder)
        means = {method: averages([row for row in of_folder if row["method"] == method]) for method in methods}
        rows = [(method, *(cell(need, method, means) for need in NEEDS)) for method in methods]
        first = of_folder[0]
        parts.append(
            f"\n**{name}** ({first['images']:,} training images of {first['classes']} classes)\n\n"
            + common.table(("method", *NEEDS), rows)
        )
    return "".join(parts)


def averages(rows: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return each score's mean and standard deviation over rows of one method."""
    found = {}
    for need in NEEDS:
        values = [row[need] for row in rows if need in row]
        if values:
            found[need] = (statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0)
    return found


def cell(need: str, method: str, means: dict[str, dict[str, tuple[float, float]]]) -> str:
    """Return a score as text, in bold if no method has a better one."""
    if need not in means[method]:
        return "-"
    mean, spread = means[method][need]
    better = min if need in SMALLER else max
    digits = {"compression": 4, "generation": 2}.get(need, 3)
    text = f"{mean:.{digits}f}" + (f" +- {spread:.{digits}f}" if spread else "")
    if mean == better(scores[need][0] for scores in means.values() if need in scores):
        return f"**{text}**"
    return text


def main() -> None:
    parser = folder_runs.parser(__doc__, minutes=3.0)
    parser.add_argument("--seeds", default="0,1,2")
    given = parser.parse_args()
    folders, words = folder_runs.parsed(given)
    command = f"python benchmarks/needs.py {words} --seeds {given.seeds}"
    rows: list[dict[str, Any]] = common.kept(RESULT).get("rows", [])

    def add(**row: Any) -> None:
        same = ("folder", "method", "seed")
        rows[:] = [old for old in rows if [old[key] for key in same] != [row[key] for key in same]] + [row]
        result = {**common.about(command), "rows": rows}
        common.write(RESULT, result, page(result))

    for name, path in folders.items():
        known, held_out = parted(name, Path(path))
        steps = {
            objective: steps_of(f"folder/{objective}", str(known), given.minutes, SETTINGS) for objective in OBJECTIVES
        }
        task: Task | None = None
        for seed in map(int, given.seeds.split(",")):
            for objective in OBJECTIVES:
                done = [row for row in rows if row["folder"] == name and row["method"] == objective]
                if done:
                    steps[objective] = done[0]["steps"]
                run = RunDir(FOLDER / f"{name}-{objective}-{seed}")
                flags = [f"--set={key}={value}" for key, value in SETTINGS.items()]
                train(run, f"folder/{objective}", str(known), f"--steps={steps[objective]}", f"--seed={seed}", *flags)
                if task is None:
                    source = recorded(run)[0].data
                    data = loaded(source, Console(quiet=True))
                    task = Task(data, loaded(replace(source, path=str(held_out)), Console(quiet=True)))
                    about = {"folder": name, "images": data.epoch_size, "classes": len(task.train_labels.unique())}
                    for method, scores in task.without_training().items():
                        add(**about, method=method, seed=0, **scores)
                add(**about, method=objective, seed=seed, steps=steps[objective], **task.of_model(run))


if __name__ == "__main__":
    main()
