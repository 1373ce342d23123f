"""What codes know of classes that no label told them: a linear probe, nearest neighbours and clusters (section 5.4).

Codes are vectors (n, d), one an image: posterior means, as a rule. The probe and the neighbours learn on training
images' codes and labels and answer for test images; clusters are found in the test codes alone, without labels.
None of them is exact in what it scores: a code may hold a class in a way that a line, a distance or a mean misses.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.metrics.distances import require_same_dimension
from aimgan.metrics.sums import require_finite, require_same_shape, require_samples

STARTS = 10  # k-means from as many random centres, the tightest wins


def latent_scores(
    train_codes: Float[Tensor, "n d"],
    train_labels: Int[Tensor, "n"],
    test_codes: Float[Tensor, "m d"],
    test_labels: Int[Tensor, "m"],
    seed: int = 0,
) -> dict[str, float]:
    """Return probe_accuracy, knn_accuracy, kmeans_accuracy and kmeans_nmi; the functions below say what each is."""
    codes = (train_codes, train_labels, test_codes, test_labels)
    return {
        "probe_accuracy": linear_probe(*codes),
        "knn_accuracy": nearest_neighbour_accuracy(*codes),
        **cluster_scores(test_codes, test_labels, seed=seed),
    }


def linear_probe(
    train_codes: Float[Tensor, "n d"],
    train_labels: Int[Tensor, "n"],
    test_codes: Float[Tensor, "m d"],
    test_labels: Int[Tensor, "m"],
) -> float:
    """Return the accuracy of logistic regression on codes that are standardised by the training codes.

    scikit-learn's, with its default penalty (C = 1): it has one optimum, so nothing is drawn. Raises AimganError for
    one class only, labels or codes that do not fit, or numbers that are not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, labels = _checked(train_codes, train_labels)
    if len(np.unique(labels)) < 2:
        raise AimganError(
            f"got training labels of {len(np.unique(labels))} classes, expected at least 2; shuffle the data?"
        )
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _accuracy(probe, x, labels, *_checked(test_codes, test_labels, like=train_codes))


def nearest_neighbour_accuracy(
    train_codes: Float[Tensor, "n d"],
    train_labels: Int[Tensor, "n"],
    test_codes: Float[Tensor, "m d"],
    test_labels: Int[Tensor, "m"],
    k: int = 5,
) -> float:
    """Return the accuracy of the vote of the k nearest training codes, in the codes' own units (Euclidean).

    A tied vote goes to the smallest label. Raises AimganError as `linear_probe`, and for fewer training codes than k.
    """
    from sklearn.neighbors import KNeighborsClassifier

    if k < 1:
        raise AimganError(f"got k = {k}, expected at least 1; 5 is usual")
    require_samples(len(train_codes), minimum=k)
    x, labels = _checked(train_codes, train_labels)
    return _accuracy(KNeighborsClassifier(k), x, labels, *_checked(test_codes, test_labels, like=train_codes))


def cluster_scores(
    codes: Float[Tensor, "n d"], labels: Int[Tensor, "n"], clusters: int | None = None, seed: int = 0
) -> dict[str, float]:
    """Score k-means clusters of the codes, in their own units, against the labels; `clusters`: as many as labels.

    kmeans_accuracy    the share of codes in the cluster of their class, under the best pairing of one class with one
                       cluster (Hungarian algorithm); codes of clusters or classes left over are wrong
    kmeans_nmi         mutual information of clusters and labels over the mean of their entropies: 0 unrelated, 1 equal

    Raises AimganError for fewer codes than clusters, labels that do not fit, or numbers that are not finite.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score

    x, classes = _checked(codes, labels)
    wanted = len(np.unique(classes)) if clusters is None else clusters
    if wanted < 1:
        raise AimganError(f"got {wanted} clusters, expected at least 1; None makes as many as there are labels")
    require_samples(len(x), minimum=wanted)
    with _quiet():
        found = KMeans(wanted, n_init=STARTS, random_state=noise.mix(seed, "k-means") % 2**32).fit_predict(x)
    return {
        "kmeans_accuracy": _best_pairing(found, classes),
        "kmeans_nmi": float(normalized_mutual_info_score(classes, found)),
    }


def _best_pairing(clusters: Int[np.ndarray, "n"], classes: Int[np.ndarray, "n"]) -> float:
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    counts = contingency_matrix(classes, clusters)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(classes))


def _accuracy(
    classifier: Any,
    x: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, "n"],
    test_x: Float[np.ndarray, "m d"],
    test_labels: Int[np.ndarray, "m"],
) -> float:
    with _quiet():
        return float(classifier.fit(x, labels).score(test_x, test_labels))


def _checked(
    codes: Float[Tensor, "n d"], labels: Int[Tensor, "n"], like: Tensor | None = None
) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, "n"]]:
    """Return both for scikit-learn, codes in float64: at least 1 of them, all finite, a label each."""
    if like is not None:
        require_same_dimension("test codes", codes, like)
    require_samples(len(codes))
    require_same_shape("labels", labels, codes[:, 0])
    require_finite("codes", codes)
    return codes.detach().cpu().double().numpy(), labels.cpu().numpy()


@contextmanager
def _quiet() -> Iterator[None]:
    """An optimiser that stops early still has an answer: its score is what is asked for, not a warning."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
