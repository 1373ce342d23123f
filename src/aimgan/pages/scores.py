"""What the scores of a run mean, in a clause each, and what they cannot say (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aimgan.checked import numbers
from aimgan.pages.document import Card, code

HIGH, LOW = "high", "low"


class Meaning(NamedTuple):
    """A score: its group, what it says and cannot say, which value is best, and what stands beside it.

    `best` is HIGH, LOW, a number that the best value is near, or None where no value is better than another. `spread`
    names its +-, `beside` scores that it is read against, with their names for people.
    """

    group: str
    says: str
    cannot: str
    best: str | float | None
    spread: str = ""
    beside: tuple[tuple[str, str], ...] = ()


FEATURES = {  # of a feature network: comparable for one network and one number of images only
    "inception_score", "frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage",
    "feature_error", "class_preservation",
}  # fmt: skip
JUDGE = ("feature_network", "feature_checksum", "feature_resizer", "n_fake", "n_real", "split")
SAMPLES, RECONSTRUCTION, CODES, POSTERIOR = "Samples", "Reconstructions", "Codes", "The posterior q(z|x)"

MEANINGS: dict[str, Meaning] = {
    "modes": Meaning(
        SAMPLES, "modes of the data that at least one good sample is nearest to",
        "how often each is hit, or how wide it is: a point on every mode finds all",
        HIGH, "", (("modes_real", "real data"),)),
    "high_quality": Meaning(
        SAMPLES, "share of samples within three standard deviations of a mode",
        "that the modes are hit evenly, or have their width: real data score 0.989", HIGH),
    "mode_kl": Meaning(
        SAMPLES, "how unevenly the modes are hit: KL divergence of their frequencies from the data's, in nats",
        "whether samples are good, or how wide a mode is",
        LOW, "", (("mode_kl_real", "real data"), ("mode_kl_floor", "chance alone"))),
    "inception_score": Meaning(
        SAMPLES, "a classifier is sure of each sample, and all classes come up",
        "variety within a class, copies, anything of the real data; the +- is of parts of this run, not of seeds",
        HIGH, "inception_score_std",
        (("inception_score_matched", "of as many as the real images"), ("inception_score_real", "real images"))),
    "frechet_distance": Meaning(
        SAMPLES, "how far the features of samples are from those of test images, as two Gaussians",
        "whether modes or quality were lost, or whether samples are copies; it depends on the number of images",
        LOW, "",
        (("frechet_distance_matched", "of as many as the real images"), ("frechet_distance_real", "training images"))),
    "kernel_distance": Meaning(
        SAMPLES, "whether the features' first three moments differ from those of test images; unbiased",
        "fidelity from variety, copies from new images",
        LOW, "kernel_distance_std"),
    "precision": Meaning(
        SAMPLES, "share of samples that lie among the real images: fidelity",
        "variety; two sets of real images do not score 1, and one outlier among them raises it", HIGH),
    "recall": Meaning(
        SAMPLES, "share of real images that lie among the samples: variety",
        "fidelity; a few wild samples raise it", HIGH),
    "density": Meaning(
        SAMPLES, "how densely samples lie where the real images do; real data score 1",
        "variety; above 1 is not better", None),
    "coverage": Meaning(
        SAMPLES, "share of real images with a sample nearby",
        "whether samples are copies of training images, which would score best",
        HIGH, "", (("coverage_expected", "real data at these numbers"),)),
    "memorisation_ratio": Meaning(
        SAMPLES, "how far samples are from the nearest training image, over how far test images are; copies score 0",
        "that no sample is a copy: it is a mean, and blur lowers it too",
        None, "", (("nearest_train_mse", "samples"), ("nearest_train_mse_held_out", "test images"))),
    "reconstruction_mse": Meaning(
        RECONSTRUCTION, "squared error of G(mu(x)) on held-out data, mean over pixels on [0, 1] (points: their units)",
        "whether what matters is kept: it punishes a shift and forgives blur; the +- is of images, not of seeds",
        LOW, "reconstruction_mse_std",
        (("reconstruction_mse_train", "training images"), ("mean_image_mse", "the mean image"),
         ("unrelated_pair_mse", "another image"), ("mode_centre_mse", "the mode's centre"))),
    "wrong_mode": Meaning(
        RECONSTRUCTION, "share of held-out points whose reconstruction is nearest to another mode",
        "anything of where in its mode a point is: the mode's centre for every x scores 0", LOW),
    "within_mode_r2": Meaning(
        RECONSTRUCTION, "of points that keep their mode, how much of what varies within it is kept: 1 all of it, "
        "0 as the mode's centre, which knows the mode only; below 0 worse",
        "how many keep their mode: read it with `wrong_mode`", HIGH),
    "neighbour_mse": Meaning(
        RECONSTRUCTION, "squared error of G(z), z ~ q(z|x), on held-out data: of draws, not of the mean code; draws "
        "of x's own mode, and no nearer, score twice the mode's variance",
        "whether q(z|x) is right: the narrowest scores best; one draw in another mode costs as much as hundreds within",
        None, "", (("neighbour_mode_variance", "the mode's variance"),)),
    "class_preservation": Meaning(
        RECONSTRUCTION, "share of images whose reconstruction gets the class that the image got",
        "anything of style; a typical image of the class scores too", HIGH),
    "feature_error": Meaning(
        RECONSTRUCTION, "error in a network's features: 0 is perfect, 1 another image",
        "more than that network knows", LOW),
    "edge_sharpness": Meaning(
        RECONSTRUCTION, "edges of reconstructions over edges of images: below 1 is blurred",
        "that an edge is the right one: noise is sharp", 1.0),
    "border_mse": Meaning(
        RECONSTRUCTION, "error over the outer eighth, the background of centred pictures",
        "anything of the subject; a constant border scores if the data have one", LOW),
    "probe_accuracy": Meaning(
        CODES, "classes that planes separate in the codes", "whether G uses what the codes hold", HIGH),
    "knn_accuracy": Meaning(
        CODES, "classes by the five nearest training codes", "whether G uses what the codes hold", HIGH),
    "kmeans_accuracy": Meaning(
        CODES, "clusters of codes that are classes, found without labels",
        "that the class is missing: codes that match the prior well have no clusters", HIGH),
    "prior_mmd": Meaning(
        CODES, "how far codes of data are from the prior: squared maximum mean discrepancy",
        "in which direction they differ; the encoder that ignores x scores best",
        LOW, "", (("prior_mmd_floor", "chance alone"),)),
    "prior_sliced_wasserstein": Meaning(
        CODES, "how far codes of data are from the prior, as a distance along random directions",
        "whether codes say anything of x",
        LOW, "", (("prior_sliced_wasserstein_floor", "chance alone"),)),
    "share_within_3_sigma": Meaning(
        CODES, "share of codes where the prior has nearly all of its own", "whether they fill that place",
        None, "", (("share_within_3_sigma_prior", "the prior"),)),
    "coverage_80": Meaning(
        POSTERIOR, "share of the known codes of generated images inside the central 80 % of q(z|x), each dimension",
        "whether q(z|x) is narrow: the prior itself scores 0.8; nothing of real images, which G may not reach",
        0.8, "", (("coverage_50", "of 50 %"), ("coverage_95", "of 95 %"))),
    "joint_coverage_80": Meaning(
        POSTERIOR, "the same of all dimensions at once: their central ellipsoid", "what `coverage_80` cannot",
        0.8, "", (("joint_coverage_50", "of 50 %"), ("joint_coverage_95", "of 95 %"))),
    "calibration_error": Meaning(
        POSTERIOR, "how far from flat the histogram of the known codes' ranks is",
        "whether q(z|x) is narrow", LOW, "", (("calibration_error_floor", "chance alone"),)),
    "log_score": Meaning(
        POSTERIOR, "mean log density of the known codes, in nats: what q(z|x) tells of z beyond the prior",
        "anything of real images, which G may not reach", HIGH, "", (("prior_log_score", "the prior"),)),
    "sharpness": Meaning(
        POSTERIOR, "geometric mean of the standard deviations of q(z|x): the prior has 1, lower is sharper",
        "whether it is right to be so sure: read it with the coverage", None),
    "neighbour_ratio": Meaning(
        POSTERIOR, "spread of G(z), z ~ q(z|x), of a real x over their error: below 1 q(z|x) is too narrow for that",
        "where the error comes from; draws from the prior score 1 too",
        1.0, "", (("neighbour_diversity", "spread"), ("neighbour_mse", "error"))),
}  # fmt: skip
GROUPS = (SAMPLES, RECONSTRUCTION, CODES, POSTERIOR)


def number(value: float) -> str:
    """Return a number in four significant digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def cards(scores: Mapping[str, Any], paper: Mapping[str, float], real: Mapping[str, Any]) -> dict[str, list[Card]]:
    """Return each group's scores with their meaning; the paper's number and that of real data stand beside."""
    have, beside = numbers(scores), numbers(real)
    found: dict[str, list[Card]] = {group: [] for group in GROUPS}
    for name, meaning in MEANINGS.items():
        if name in have:
            near = [(label, have[other]) for other, label in meaning.beside if other in have]
            near += [("real data", beside[name])] if name in beside else []
            near += [("the paper", paper[name])] if name in paper else []
            told = " · ".join(f"{label} {number(value)}" for label, value in near)
            value = number(have[name]) + (f" ± {number(have[meaning.spread])}" if meaning.spread in have else "")
            found[meaning.group].append(Card(code(name), value, told, meaning.says, meaning.cannot))
    return {group: some for group, some in found.items() if some}


def others(scores: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the scores that no card shows."""
    shown = set(MEANINGS) | {meaning.spread for meaning in MEANINGS.values()}
    shown |= {other for meaning in MEANINGS.values() for other, _ in meaning.beside}
    for name, value in numbers(scores).items():
        if name not in shown:
            yield code(name), number(value)


def best(name: str, values: Mapping[str, float]) -> list[str]:
    """Return whose value of a score is the best; of none where no value is better, or where all are equal."""
    wanted = MEANINGS[name].best
    if wanted is None or len(set(values.values())) < 2:
        return []
    cost = {who: _cost(value, wanted) for who, value in values.items()}
    return [who for who, own in cost.items() if own == min(cost.values())]


def _cost(value: float, wanted: str | float) -> float:
    if isinstance(wanted, str):
        return -value if wanted == HIGH else value
    return abs(value - wanted)


def arrow(name: str) -> str:
    """Return a sign for which values of a score are better."""
    wanted = MEANINGS[name].best
    return f"→ {wanted:g}" if isinstance(wanted, float) else {HIGH: "↑", LOW: "↓"}.get(wanted or "", "")
