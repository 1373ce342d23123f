"""The meanings of scores: what each says of a model, what it cannot say, and which values are better (docs/metrics.md).

Reports, comparisons, `aimgan info` and the model card all read this one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aimgan.checked import numbers

HIGH, LOW = "↑", "↓"
SAMPLES, RECONSTRUCTIONS, CODES, POSTERIOR = "Samples", "Reconstructions", "Codes", "The posterior q(z|x)"
TRANSLATIONS = "Translations between two data sets"


@dataclass(frozen=True)
class Meaning:
    """What a score says and cannot say.

    `best` is HIGH, LOW, the number at which the score is best, or None where no value is better than another. `spread`
    names the score that is its ±. `references` are the scores that it should be compared with, and what they are of.
    `anchor` is the one of them that a trivial answer reaches: a model that is no better has learnt nothing.
    """

    group: str
    best: str | float | None
    says: str
    cannot: str
    references: Mapping[str, str] = field(default_factory=dict)
    spread: str = ""
    anchor: str = ""


class Explained(NamedTuple):
    """A score of a model with its meaning, as text."""

    group: str
    name: str
    value: str
    references: str
    says: str
    cannot: str


FEATURE_SCORES = {  # comparable only between scores of one feature network and one number of images
    "inception_score", "frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage",
    "feature_error", "class_preservation",
}  # fmt: skip
MEANINGS = {
    "modes": Meaning(SAMPLES, HIGH, "number of modes of the data that have at least one good sample",
        "how often each mode is sampled, or how wide it is: one point on every mode finds all of them",
        {"modes_real": "real data"}),
    "high_quality": Meaning(SAMPLES, HIGH, "share of samples within three standard deviations of a mode",
        "whether the modes are sampled evenly or have the right width; real data score 0.989"),
    "mode_kl": Meaning(SAMPLES, LOW, "KL divergence of the samples' frequencies of modes from the data's, in nats",
        "whether samples are good, or how wide a mode is",
        {"mode_kl_real": "real data", "mode_kl_floor": "sampling noise alone"}),
    "inception_score": Meaning(SAMPLES, HIGH, "whether a classifier is certain of each sample while all classes occur",
        "variety within a class, copies, anything of the real data; the ± is over parts of this run, not over seeds",
        {"inception_score_matched": "as many samples as real images", "inception_score_real": "real images"},
        "inception_score_std"),
    "frechet_distance": Meaning(SAMPLES, LOW, "Fréchet distance between the features of samples and of test images",
        "whether modes or quality were lost, or whether samples are copies; it depends on the number of images",
        {"frechet_distance_matched": "as many samples as test images", "frechet_distance_real": "training images"}),
    "kernel_distance": Meaning(SAMPLES, LOW,
        "unbiased difference in three moments of the features of samples and of images",
        "whether fidelity or variety was lost, or whether samples are copies", spread="kernel_distance_std"),
    "precision": Meaning(SAMPLES, HIGH, "share of samples that lie among the real images: fidelity",
        "variety; two sets of real images score below 1, and one outlier among them raises the score"),
    "recall": Meaning(SAMPLES, HIGH, "share of real images that lie among the samples: variety",
        "fidelity; a few wild samples raise the score"),
    "density": Meaning(SAMPLES, None, "how densely samples lie where the real images are; real data score 1",
        "variety; values above 1 are not better"),
    "coverage": Meaning(SAMPLES, HIGH, "share of real images that have a sample nearby",
        "whether samples are copies of training images, which would score best",
        {"coverage_expected": "real data in these numbers"}),
    "memorisation_ratio": Meaning(SAMPLES, None,
        "distance from samples to the nearest training image, over that of test images; copies score 0",
        "that no sample is a copy: it is a mean, and blur lowers it too",
        {"nearest_train_mse": "samples", "nearest_train_mse_held_out": "test images"}),
    "reconstruction_mse": Meaning(RECONSTRUCTIONS, LOW,
        "mean squared error of G(mu(x)) on held-out data: per pixel in [0, 1], or per coordinate",
        "whether what matters is kept: it punishes a shift and forgives blur; the ± is over images, not over seeds",
        {"reconstruction_mse_train": "training images", "mean_image_mse": "the mean training image",
         "pca_mse": "principal components of as many numbers",
         "unrelated_pair_mse": "another image", "mode_centre_mse": "the centre of the mode"},
        "reconstruction_mse_std", "mean_image_mse"),
    "wrong_mode": Meaning(RECONSTRUCTIONS, LOW, "share of held-out points reconstructed nearest to another mode",
        "where in its mode a point is: reconstructing the centre of the mode scores 0"),
    "within_mode_r2": Meaning(RECONSTRUCTIONS, HIGH,
        "share of the variance within a mode that is kept, by points that keep their mode; the mode's centre scores 0",
        "how many points keep their mode: read it with `wrong_mode`"),
    "neighbour_mse": Meaning(RECONSTRUCTIONS, None,
        "mean squared error of G(z), z ~ q(z|x), on held-out data: twice the mode's variance if only the mode is known",
        "whether q(z|x) is right: the narrowest scores best, and a draw in another mode outweighs hundreds of others",
        {"neighbour_mode_variance": "the variance of the mode"}),
    "class_preservation": Meaning(RECONSTRUCTIONS, HIGH, "share of images whose reconstruction is given the same class",
        "anything of style: a typical image of the class scores too"),
    "feature_error": Meaning(RECONSTRUCTIONS, LOW, "error in the features of a network; another image scores 1",
        "more than what that network sees"),
    "edge_sharpness": Meaning(RECONSTRUCTIONS, 1.0, "edges in reconstructions over edges in images; below 1 is blurred",
        "whether the edges are the right ones: noise is sharp"),
    "border_mse": Meaning(RECONSTRUCTIONS, LOW, "mean squared error over the outer eighth: often the background",
        "anything of the subject; a constant border scores well if the data have one"),
    "a_to_b_classes": Meaning(TRANSLATIONS, HIGH,
        "share of A whose translation is nearest to a sample of B of its own class, of those held out",
        "whether it is the right sample of the class"),
    "b_to_a_classes": Meaning(TRANSLATIONS, HIGH, "the same from B to A", "the same"),
    "a_to_b_pairs": Meaning(TRANSLATIONS, HIGH,
        "share of A whose translation is nearest to its true counterpart, of those held out",
        "how near it is; of points that lie densely hardly any is the nearest"),
    "b_to_a_pairs": Meaning(TRANSLATIONS, HIGH, "the same from B to A", "the same"),
    "a_to_b_mse": Meaning(TRANSLATIONS, LOW, "mean squared error of translations of A beside their true counterparts",
        "whether they look like B: the mean of B has a lower error than the wrong sample",
        {"mean_of_b_mse": "the mean training sample of B"}, anchor="mean_of_b_mse"),
    "b_to_a_mse": Meaning(TRANSLATIONS, LOW, "the same from B to A", "the same",
        {"mean_of_a_mse": "the mean training sample of A"}, anchor="mean_of_a_mse"),
    "cycle_mse_b": Meaning(TRANSLATIONS, LOW,
        "mean squared error of B to A to B; that of A to B to A is `reconstruction_mse`",
        "whether translations are right: a wrong map can be inverted, too"),
    "probe_accuracy": Meaning(CODES, HIGH, "accuracy of a linear classifier that reads the class from the code",
        "whether G uses what the codes hold",
        {"largest_class": "the largest class", "probe_accuracy_pixels": "raw pixels"}, anchor="largest_class"),
    "knn_accuracy": Meaning(CODES, HIGH, "accuracy of the class of the five nearest training codes",
        "whether G uses what the codes hold",
        {"largest_class": "the largest class", "knn_accuracy_pixels": "raw pixels"}, anchor="largest_class"),
    "kmeans_accuracy": Meaning(CODES, HIGH, "agreement of classes with clusters of codes, found without labels",
        "whether codes lack the class: a low value does not mean that, since codes like the prior have no clusters",
        {"largest_class": "the largest class", "kmeans_accuracy_pixels": "raw pixels"}, anchor="largest_class"),
    "prior_mmd": Meaning(CODES, LOW, "squared maximum mean discrepancy between codes of data and the prior",
        "in which direction they differ; an encoder that ignores x scores best",
        {"prior_mmd_floor": "sampling noise alone"}),
    "prior_sliced_wasserstein": Meaning(CODES, LOW, "sliced Wasserstein distance between codes of data and the prior",
        "whether codes say anything of x", {"prior_sliced_wasserstein_floor": "sampling noise alone"}),
    "share_within_3_sigma": Meaning(CODES, None, "share of codes in the ball that holds nearly all of the prior",
        "whether they fill that ball", {"share_within_3_sigma_prior": "the prior"}),
    "coverage_80": Meaning(POSTERIOR, 0.8, "share of known codes inside the central 80 % of q(z|x), by dimension",
        "whether q(z|x) is narrow: the prior itself scores 0.8; anything of real images, which G may not reach",
        {"coverage_50": "for 50 %", "coverage_95": "for 95 %"}),
    "joint_coverage_80": Meaning(POSTERIOR, 0.8, "the same for all dimensions at once, by central ellipsoids",
        "what `coverage_80` cannot", {"joint_coverage_50": "for 50 %", "joint_coverage_95": "for 95 %"}),
    "calibration_error": Meaning(POSTERIOR, LOW, "how far the histogram of known codes' ranks in q(z|x) is from flat",
        "whether q(z|x) is narrow", {"calibration_error_floor": "sampling noise alone"}),
    "log_score": Meaning(POSTERIOR, HIGH, "mean log density of known codes under q(z|x), in nats",
        "anything of real images, which G may not reach", {"prior_log_score": "the prior"}, anchor="prior_log_score"),
    "sharpness": Meaning(POSTERIOR, None, "geometric mean of q(z|x)'s standard deviations; the prior has 1",
        "whether such certainty is right: read it with `coverage_80`"),
    "neighbour_ratio": Meaning(POSTERIOR, 1.0,
        "spread of G(z), z ~ q(z|x), over their error on real x; below 1, q(z|x) is too narrow",
        "where the error comes from: draws from the prior score 1 too",
        {"neighbour_diversity": "spread", "neighbour_mse": "error"}),
}  # fmt: skip


def number(value: float) -> str:
    """Return an integer in full, any other number in four significant digits."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}"


def explained(scores: Mapping[str, Any], others: Mapping[str, Mapping[str, float]] | None = None) -> list[Explained]:
    """Return the scores that have a meaning; `others` are the same scores of something else, such as real data."""
    have = numbers(scores)
    found = []
    for name, meaning in MEANINGS.items():
        if name not in have:
            continue
        value = number(have[name])
        if meaning.spread in have:
            value += f" ± {number(have[meaning.spread])}"
        near = {label: have[other] for other, label in meaning.references.items() if other in have}
        for label, values in (others or {}).items():
            if name in values:
                near[label] = values[name]
        references = " · ".join(f"{label} {number(other)}" for label, other in near.items())
        found.append(Explained(meaning.group, name, value, references, meaning.says, meaning.cannot))
    return found


def unexplained(scores: Mapping[str, Any]) -> dict[str, str]:
    """Return the scores that `explained` leaves out, as text."""
    shown = set(MEANINGS)
    for meaning in MEANINGS.values():
        shown |= {meaning.spread, *meaning.references}
    return {name: number(value) for name, value in numbers(scores).items() if name not in shown}


def best(name: str, values: Mapping[str, float]) -> list[str]:
    """Return who has the best value of a score; nobody where no value is better, or where all are equal."""
    wanted = MEANINGS[name].best
    if wanted is None or len(set(values.values())) < 2:
        return []
    cost = {who: _cost(value, wanted) for who, value in values.items()}
    return [who for who in cost if cost[who] == min(cost.values())]


def beats_anchor(name: str, scores: Mapping[str, float]) -> bool:
    """Return whether a score is better than its anchor; true where there is none."""
    meaning = MEANINGS[name]
    if meaning.best is None or meaning.anchor not in scores:
        return True
    return _cost(scores[name], meaning.best) < _cost(scores[meaning.anchor], meaning.best)


def _cost(value: float, wanted: str | float) -> float:
    if wanted == HIGH:
        return -value
    if wanted == LOW:
        return value
    return abs(value - float(wanted))


def sign(name: str) -> str:
    """Return a sign that says which values of a score are better: an arrow, the best number after it, or nothing."""
    wanted = MEANINGS[name].best
    if isinstance(wanted, float):
        return f"→ {wanted:g}"
    return wanted or ""
