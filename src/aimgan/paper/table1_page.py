"""Table 1's results file as tables: Markdown and LaTeX, the references and claims below. All pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from aimgan.metrics import on_signed_scale, with_signed_scale
from aimgan.pages.tables import Table
from aimgan.paper.claims import ERROR, RENORMALISED
from aimgan.paper.claims_page import claims_table
from aimgan.paper.columns import (
    NONE,
    PARAMETERS,
    SECONDS,
    SEEDS,
    Column,
    Row,
    above_prior,
    best,
    bold,
    errors,
    head,
    lengths,
    mean,
    rows_of,
    score,
    verdict,
)
from aimgan.paper.latex import tabular
from aimgan.paper.request import Results

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


def _pair(head: str, name: str, digits: int, better: str) -> Column:
    """A column of means with what follows the paper's +-: over images or splits for a seed, over seeds for several."""
    plain = score(head, name, digits, better)

    def text(row: Row) -> str:
        values = row.values(name)
        if not values:
            return NONE
        spreads = row.values(f"{name}_std")
        spread = stdev(values) if len(values) > 1 else spreads[0] if spreads else None
        return f"{fmean(values):.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")

    return Column(head, text, plain.rank)


def _paper(name: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = row.about.get("paper", {}).get(name)
        return NONE if found is None else f"{found[0]:.3f} ± {found[1]:.3f}"

    return text


def _with_other(head: str, name: str, other: str, digits: int, better: str) -> Column:
    def text(row: Row) -> str:
        own, beside = mean(row, name), mean(row, other)
        return NONE if own is None or beside is None else f"{own:.{digits}f} ({beside:.{digits}f})"

    return Column(head, text, score("", name, digits, better).rank)


def _train_over_test(row: Row) -> str:
    own, test = mean(row, "reconstruction_mse_train"), mean(row, "reconstruction_mse")
    return NONE if own is None or not test else f"{own / test:.3f}"


def _below_mean_image(column: Column, name: str, scale: float = 1.0) -> Column:
    """Return a column of errors whose anchor is the mean image's error: `scale` is that of the errors' unit."""

    def passes(row: Row) -> bool:
        own, anchor = mean(row, name), mean(row, "mean_image_mse", scale)
        return own is None or anchor is None or own < anchor

    return column._replace(passes=passes)


MSE = _below_mean_image(_pair("MSE [0, 1]", ERROR, 4, "low"), ERROR)
SIGNED = _below_mean_image(
    score("MSE [-1, 1]", "reconstruction_mse_signed", 4, "low"), "reconstruction_mse_signed", on_signed_scale(1.0)
)
BY_CODES = _below_mean_image(score("MSE, renormalised", RENORMALISED, 4, "low"), RENORMALISED)
INCEPTION = _pair("IS", "inception_score", 3, "high")
FRECHET = score("FD", "frechet_distance", 2, "low")
CLASS = score("class kept %", "class_preservation", 1, "high", scale=100)
PROBE = score("probe %", "probe_accuracy", 1, "high", scale=100)
PAPER = (Column("paper: MSE", _paper("reconstruction_mse")), Column("paper: IS", _paper("inception_score")))
MAIN = (
    MSE,
    BY_CODES,
    SIGNED,
    INCEPTION,
    FRECHET,
    CLASS,
    PROBE,
    SEEDS,
)
OF_MANY = ("inception_score", "frechet_distance")  # scores of all samples, which are as a rule more than real images
MORE = (
    score("IS of n", "inception_score_matched", 3, "high"),
    score("FD of n", "frechet_distance_matched", 2, "low"),
    _with_other("KID", "kernel_distance", "kernel_distance_std", 4, "low"),
    score("precision", "precision", 3, "high"),
    score("recall", "recall", 3, "high"),
    Column("density", score("", "density", 3, "high").text),
    score("coverage", "coverage", 3, "high"),
    score("feature error", "feature_error", 3, "low")._replace(
        passes=lambda row: (mean(row, "feature_error") or 0) < 1
    ),
    Column("sharpness", score("", "edge_sharpness", 2, "high").text),
    Column("copies", score("", "memorisation_ratio", 2, "high").text),
    Column("train / test MSE", _train_over_test),
)
INFERENCE = (
    score("k-NN %", "knn_accuracy", 1, "high", scale=100),
    score("k-means %", "kmeans_accuracy", 1, "high", scale=100),
    score("NMI", "kmeans_nmi", 3, "high"),
    score("calibration error", "calibration_error", 3, "low"),
    _with_other("log score (prior's)", "log_score", "prior_log_score", 1, "high")._replace(passes=above_prior),
    score("prior SW", "prior_sliced_wasserstein", 3, "low"),
    Column("near (apart)", _with_other("", "neighbour_mse", "neighbour_diversity", 4, "low").text),
    PARAMETERS,
    SECONDS,
)


def render(results: Results) -> dict[str, str]:
    """Return a results file's pages by ending: what is beside it can be made again from it at any time."""
    return {".md": markdown(results), ".tex": latex(results)}


def short(results: Results) -> Table:
    """Return what fits a terminal."""
    return _table(results, (MSE, INCEPTION, FRECHET, CLASS, PROBE), lambda text, best: text)


def markdown(results: Results) -> str:
    """Return the page: where the numbers come from, the tables, what must be said about them, claims."""
    columns = (*_paper_columns(results), *MAIN)
    parts = [
        head(results),
        _table(results, columns, bold).markdown(),
        _table(results, MORE, bold, ": samples and reconstructions").markdown(),
        _table(results, INFERENCE, bold, ": codes").markdown(),
        *notes(results),
        claims_table(results),
        errors(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(results: Results) -> str:
    """Return the main table for LaTeX (booktabs, graphicx)."""
    columns = (*_paper_columns(results), *MAIN)
    rows = _table(results, columns, lambda text, best: text).rows
    found, alike = rows_of(results), _alike(results)
    marked = {(found.index(alike[row]), k + 1) for k, column in enumerate(columns) for row in best(column, alike)}
    comment = head(results).replace("`", "")
    return tabular(_title(results), ["", *(c.head for c in columns)], rows, marked, " ".join(notes(results)), comment)


def caption(results: Results) -> str:
    """Return a line that names a figure's runs."""
    seeds = ", ".join(map(str, results["seeds"]))
    return (
        f"{_title(results)}, seed{'s' * (len(results['seeds']) > 1)} {seeds}: {results['command']}, {results['date']}"
    )


def notes(results: Results) -> list[str]:
    """Return the paragraphs under the tables."""
    judged = (*MAIN[:-1], *MORE[:8], *INFERENCE[:-2])
    return [verdict(judged, _alike(results)), _network(results), PROTOCOL, lengths(results)]


def _paper_columns(results: Results) -> tuple[Column, ...]:
    """Return the paper's columns: its score only beside one by a network that may be compared."""
    if not any(about["paper"] for about in results["methods"]):
        return ()
    return PAPER if _any_scores(results).get("feature_comparable") else PAPER[:1]


def _alike(results: Results) -> list[Row]:
    """Return the rows that were trained as long as most: a longer run is shown, but not ranked with them."""
    rows = rows_of(results)
    lengths = [row.about["steps"] for row in rows]
    usual = max(lengths, key=lengths.count)
    return [row for row in rows if row.about["steps"] == usual]


def _title(results: Results) -> str:
    preset = f" ({results['preset']} preset)" if results.get("preset") else ""
    return f"Table 1 on {results['data']}{preset}"


def _table(results: Results, columns: Sequence[Column], mark: Callable[[str, bool], str], part: str = "") -> Table:
    rows, alike = rows_of(results), _alike(results)
    winners = [{rows.index(alike[k]) for k in best(column, alike)} for column in columns]
    lines = [
        (row.label, *(mark(c.text(row), k in b) for c, b in zip(columns, winners, strict=True)))
        for k, row in enumerate(rows)
    ]
    beside = [(row.label, *(column.text(row) for column in columns)) for row in _references(results)]
    lines += [line for line in beside if {*line[1:]} != {NONE}]
    return Table(_title(results) + part, ("", *(column.head for column in columns)), tuple(lines))


def _references(results: Results) -> list[Row]:
    """Return the rows that no method can be told to beat: the data themselves, anchors, and what a sceptic asks for."""
    found, any_scores = results["references"], _any_scores(results)
    rows = [Row("real data", {}, [_of_real(any_scores)])] if any_scores else []
    for name, label in (("mean_image_mse", "mean image"), ("unrelated_pair_mse", "another image")):
        if name in any_scores:
            rows.append(Row(label, {}, [_as_error(any_scores[name])]))
    if found.get("pca"):
        rows.append(Row(f"PCA, d = {found['pca']['dim']}", {}, [found["pca"]]))
    for key, label in (("inversion-gan", "GAN"), ("inversion-aim", "AIM")):
        if key in found:
            inverted = found[key]
            how = "{steps} steps ({images} images, {seconds:.0f} s)".format(**inverted)
            told = f"{label}, codes by {how}"
            rows.append(Row(told, {}, [inverted | _as_error(inverted["reconstruction_mse"])]))
        if "reconstruction_mse_encoder" in found.get(key, {}):
            told = "{label}, encoder ({images} images, {seconds_encoder:.2f} s)".format(label=label, **found[key])
            rows.append(Row(told, {}, [_as_error(found[key]["reconstruction_mse_encoder"])]))
    return rows


def _as_error(mse: float) -> dict[str, float]:
    return with_signed_scale({"reconstruction_mse": mse})


def _any_scores(results: Results) -> Mapping[str, Any]:
    """Return scores of all cells as one: what is of the data is the same in each that has it."""
    merged: dict[str, Any] = {}
    for cell in results["cells"]:
        merged |= cell["scores"] or {}
    return merged


def _of_real(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return the real data's own scores by the names of the samples'.

    The scores that depend on the number of images stand beside those of as many samples; only where all samples are as
    many do they stand beside the samples' own.
    """
    own = {
        name.replace("_real", ""): value
        for name, value in scores.items()
        if name.endswith(("_real", "_real_std")) and name != "n_real"
    }
    matched = {f"{name}_matched": own[name] for name in OF_MANY if name in own}
    n_fake, n_real = scores.get("n_fake", 0), scores.get("n_real", 0)
    if scores.get("n_matched", min(n_fake, n_real)) != n_fake:
        own = {name: value for name, value in own.items() if name.removesuffix("_std") not in OF_MANY}
    return own | matched


def _network(results: Results) -> str:
    scores = _any_scores(results)
    if "feature_network" not in scores:
        return "No feature network was at hand: scores by one are left out."
    comparable = "may" if scores["feature_comparable"] else "must not"
    return (
        f"Feature network: {scores['feature_network']} (weights {scores['feature_checksum'][:12]}, resizer: "
        f"{scores['feature_resizer']}), {scores['n_fake']:,} samples, {scores['n_real']:,} images of the "
        f"{scores['split']} split; its scores {comparable} be put beside published ones."
    )
