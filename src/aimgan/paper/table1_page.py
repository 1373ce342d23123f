"""Table 1's results file as a page in Markdown and a table in LaTeX, with references and the paper's claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from aimgan.metrics import with_signed_scale
from aimgan.paper.claims import ERROR, RENORMALISED, claims_table
from aimgan.paper.experiment import Results
from aimgan.paper.results_page import Page, lengths
from aimgan.paper.results_table import NONE, PARAMETERS, SECONDS, SEEDS, Column, ResultsTable, Row, named, rows_of

PROTOCOL = (
    "MSE: of test images and G(mu(x)), mean over pixels and images, on the [0, 1] scale (± its standard deviation over "
    "images) and on [-1, 1], which is four times that: the paper's rows may be on either, so no row of the paper's is "
    "divided by another. MSE, renormalised: on [0, 1], with every method's G normalised by the codes mu(x) of training "
    "images instead of what its own training showed it: does a ranking depend on batch-norm statistics? IS: "
    "Inception Score by the named network, ten splits (± population standard deviation over them). FD, KID: Frechet "
    "and kernel distance of its features to those of the test images (KID's deviation over subsets in brackets). IS "
    'and FD of n: of the first n samples, where n is the number of real images in the row "real data" (test images '
    "for IS, training images against the test images for all else). Class kept: share of "
    "reconstructions that the network gives the label it gave the image. Feature error: of reconstructions, 0 the "
    "image's own features, 1 those of another image. Probe, k-NN, k-means: of the codes mu(x) by the classes. "
    "Sharpness: edges of reconstructions over the images' own. Copies: distance of samples to the nearest training "
    "image over that of test images. Train / test MSE: below 1 where training images are rebuilt better. Calibration "
    "error and log score of q(z|x) on G(z), the prior's log score in brackets; prior SW: sliced Wasserstein distance "
    "of codes to the prior. Near: mean squared distance of G(z), z ~ q(z|x), to x, and (in brackets) between two of "
    "them. With several seeds: mean ± sample standard deviation over seeds. Bold: the best of the methods "
    "that were trained as long, with all seeds finished, and no MSE that is not below that of the mean image."
)


def _paper(score: str, row: Row) -> str:
    found = row.about.get("paper", {}).get(score)
    if not found:
        return NONE
    mean, deviation = found
    return f"{mean:.3f} ± {deviation:.3f}"


def _train_over_test(row: Row) -> str:
    train, test = row.mean("reconstruction_mse_train"), row.mean(ERROR)
    if train is None or not test:
        return NONE
    return f"{train / test:.3f}"


PAPER_ERROR = Column("paper: MSE", shown=partial(_paper, ERROR))
PAPER_INCEPTION = Column("paper: IS", shown=partial(_paper, "inception_score"))
MSE = Column("MSE [0, 1]", ERROR, 4, "low", deviation=True, anchor="mean_image_mse")
INCEPTION = Column("IS", "inception_score", 3, "high", deviation=True)
FRECHET = Column("FD", "frechet_distance", 2, "low")
CLASS = Column("class kept %", "class_preservation", 1, "high", 100)
PROBE = Column("probe %", "probe_accuracy", 1, "high", 100)
MAIN = (
    MSE,
    Column("MSE, renormalised", RENORMALISED, 4, "low", anchor="mean_image_mse"),
    Column("MSE [-1, 1]", "reconstruction_mse_signed", 4, "low", anchor="mean_image_mse_signed"),
    INCEPTION,
    FRECHET,
    CLASS,
    PROBE,
    SEEDS,
)
MORE = (
    Column("IS of n", "inception_score_matched", 3, "high"),
    Column("FD of n", "frechet_distance_matched", 2, "low"),
    Column("KID", "kernel_distance", 4, "low", beside="kernel_distance_std"),
    Column("precision", "precision", 3, "high"),
    Column("recall", "recall", 3, "high"),
    Column("density", "density", 3),
    Column("coverage", "coverage", 3, "high"),
    Column("feature error", "feature_error", 3, "low", anchor=1.0),
    Column("sharpness", "edge_sharpness", 2),
    Column("copies", "memorisation_ratio", 2),
    Column("train / test MSE", shown=_train_over_test),
)
CODES = (
    Column("k-NN %", "knn_accuracy", 1, "high", 100),
    Column("k-means %", "kmeans_accuracy", 1, "high", 100),
    Column("NMI", "kmeans_nmi", 3, "high"),
    Column("calibration error", "calibration_error", 3, "low"),
    Column("log score (prior's)", "log_score", 1, "high", beside="prior_log_score", anchor="prior_log_score"),
    Column("prior SW", "prior_sliced_wasserstein", 3, "low"),
    Column("near (apart)", "neighbour_mse", 4, beside="neighbour_diversity"),
    PARAMETERS,
)
# These depend on the number of samples, which are often more than the real images.
INVERTED: Mapping[str, Any] = {"inverted": True}  # `about` of the rows of codes by optimisation
OF_SAMPLES = ("inception_score", "frechet_distance")


EVERY = (PAPER_ERROR, PAPER_INCEPTION, *MAIN, *MORE, *CODES, SECONDS)


def short(results: Results, columns: Sequence[str] = ()) -> ResultsTable:
    """Return the table with the columns of these names, or with as many as a terminal has room for."""
    return _table(results, named(columns, EVERY) or (MSE, INCEPTION, FRECHET, CLASS, PROBE))


def page(results: Results, short_columns: Sequence[str] = ()) -> Page:
    """Return the page: the tables, what has to be known about them, and the paper's claims.

    The paper's Inception Scores are shown only if the feature network here is comparable with the paper's.
    """
    columns: Sequence[Column] = MAIN
    if any(about["paper"] for about in results["methods"]):
        columns = (PAPER_ERROR, *MAIN)
        if _all_scores(results).get("feature_comparable"):
            columns = (PAPER_ERROR, PAPER_INCEPTION, *MAIN)
    tables = [
        _table(results, columns),
        _table(results, MORE, ": samples and reconstructions"),
        _table(results, (*CODES, SECONDS), ": codes"),
    ]
    verdict = _table(results, (*MAIN, *MORE, *CODES)).verdict()
    notes = [verdict, _network(results), PROTOCOL, lengths(results)]
    return Page(results, tables, notes, _without_inversions(short(results, short_columns)), claims_table(results))


def _without_inversions(table: ResultsTable) -> ResultsTable:
    """Return the table without codes by optimisation, whose long labels no page has room for."""
    return replace(table, rows=[row for row in table.rows if row.about is not INVERTED])


def caption(results: Results) -> str:
    """Return a line that says which runs a figure shows."""
    seeds = ", ".join(map(str, results["seeds"]))
    word = "seed" if len(results["seeds"]) == 1 else "seeds"
    return f"{_title(results)}, {word} {seeds}: {results['command']}, {results['date']}"


def _network(results: Results) -> str:
    scores = _all_scores(results)
    if "feature_network" not in scores:
        return "No feature network was at hand: scores by one are left out."
    comparable = "may" if scores["feature_comparable"] else "must not"
    return (
        f"Feature network: {scores['feature_network']} (weights {scores['feature_checksum'][:12]}, resizer: "
        f"{scores['feature_resizer']}), {scores['n_fake']:,} samples, {scores['n_real']:,} images of the "
        f"{scores['split']} split; its scores {comparable} be put beside published ones."
    )


def _title(results: Results) -> str:
    title = f"Table 1 on {results['data']}"
    if results.get("preset"):
        title += f" ({results['preset']} preset)"
    return title


def _table(results: Results, columns: Sequence[Column], part: str = "") -> ResultsTable:
    """Return the methods and below them the references that have an entry in a column.

    Methods that were trained longer or shorter than most are shown, and not ranked with them.
    """
    methods = rows_of(results)
    steps = [row.about["steps"] for row in methods]
    usual = max(steps, key=steps.count)
    rows = []
    for row in methods:
        ranked = row.ranked and row.about["steps"] == usual
        rows.append(replace(row, ranked=ranked, scores=[with_anchor(scores) for scores in row.scores]))
    references = _references(results)
    rows += [row for row in references if any(column.text(row) != NONE for column in columns)]
    return ResultsTable(_title(results) + part, columns, rows)


def with_anchor(scores: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the mean image's error on the [-1, 1] scale."""
    if "mean_image_mse" not in scores:
        return scores
    return {**scores, **with_signed_scale({"mean_image_mse": scores["mean_image_mse"]})}


def _references(results: Results) -> list[Row]:
    """Return the rows that no method competes with: real data, trivial answers, PCA, and codes by optimisation."""
    found, scores = results["references"], _all_scores(results)
    rows = [Row("real data", [_of_real(scores)])]
    for name, label in (("mean_image_mse", "mean image"), ("unrelated_pair_mse", "another image")):
        if name in scores:
            rows.append(Row(label, [_errors(scores[name])]))
    if found.get("pca"):
        rows.append(Row(f"PCA, d = {found['pca']['dim']}", [found["pca"]]))
    for key, label in (("inversion-gan", "GAN"), ("inversion-aim", "AIM")):
        inverted = found.get(key)
        if inverted:
            how = "codes by {steps} steps ({images} images, {seconds:.0f} s)".format(**inverted)
            rows.append(Row(f"{label}, {how}", [inverted | _errors(inverted[ERROR])], INVERTED))
        if inverted and f"{ERROR}_encoder" in inverted:
            how = "encoder ({images} images, {seconds_encoder:.2f} s)".format(**inverted)
            rows.append(Row(f"{label}, {how}", [_errors(inverted[f"{ERROR}_encoder"])], INVERTED))
    return rows


def _errors(mse: float) -> dict[str, float]:
    return with_signed_scale({ERROR: mse})


def _all_scores(results: Results) -> dict[str, Any]:
    """Return the scores of all runs in one mapping, for those that are of the data and the same in every run."""
    merged: dict[str, Any] = {}
    for run in results["cells"]:
        merged |= run["scores"] or {}
    return merged


def _of_real(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return the real data's own scores, by the names that samples' scores have.

    Scores that depend on the number of images are comparable with those of as many samples. They are put next to the
    scores of all samples only if these are as many.
    """
    real = {}
    for name, value in scores.items():
        if name.endswith(("_real", "_real_std")) and name != "n_real":
            real[name.replace("_real", "")] = value
    matched = {f"{name}_matched": real[name] for name in OF_SAMPLES if name in real}
    samples, images = scores.get("n_fake", 0), scores.get("n_real", 0)
    if scores.get("n_matched", min(samples, images)) != samples:
        for name in OF_SAMPLES:
            real.pop(name, None)
            real.pop(f"{name}_std", None)
    return real | matched
