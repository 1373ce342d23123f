"""Class information in codes, measured by a linear probe, nearest neighbours and clusters (section 5.4).

Codes are vectors (n, d), one for each image, usually posterior means. The probe and the neighbours learn from training
codes and labels and are scored on test codes; clusters are found in the test codes alone.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.metrics.distances import require_same_dimension
from aimgan.metrics.sums import require_finite, require_same_shape, require_samples

STARTS = 10  # k-means starts from so many random centres, and keeps the tightest clusters

Codes = Float[Tensor, "n d"]
Labels = Int[Tensor, "n"]
TestCodes = Float[Tensor, "m d"]
TestLabels = Int[Tensor, "m"]


def latent_scores(
    train_codes: Codes, train_labels: Labels, test_codes: TestCodes, test_labels: TestLabels, seed: int = 0
) -> dict[str, float]:
    """Return probe_accuracy, knn_accuracy, kmeans_accuracy and kmeans_nmi; the functions below explain them."""
    codes = (train_codes, train_labels, test_codes, test_labels)
    return {
        "probe_accuracy": linear_probe(*codes),
        "knn_accuracy": nearest_neighbour_accuracy(*codes),
        **cluster_scores(test_codes, test_labels, seed=seed),
    }


def linear_probe(train_codes: Codes, train_labels: Labels, test_codes: TestCodes, test_labels: TestLabels) -> float:
    """Return the accuracy of logistic regression on codes that are standardised by the training codes.

    It is scikit-learn's, with its default penalty (C = 1). Raises AimganError for a single class, labels or codes of
    other shapes, or numbers that are not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = len(train_labels.unique())
    if classes < 2:
        raise AimganError(
            f"got training labels of {classes} classes, expected at least 2; shuffle data that are sorted by class"
        )
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _accuracy(probe, train_codes, train_labels, test_codes, test_labels)


def nearest_neighbour_accuracy(
    train_codes: Codes, train_labels: Labels, test_codes: TestCodes, test_labels: TestLabels, k: int = 5
) -> float:
    """Return the accuracy of the vote of the k nearest training codes (Euclidean); a tie goes to the smallest label.

    Raises AimganError as `linear_probe`, and for fewer training codes than k.
    """
    from sklearn.neighbors import KNeighborsClassifier

    if k < 1:
        raise AimganError(f"got k = {k}, expected at least 1; 5 is usual")
    require_samples(len(train_codes), minimum=k)
    return _accuracy(KNeighborsClassifier(k), train_codes, train_labels, test_codes, test_labels)


def cluster_scores(codes: Codes, labels: Labels, seed: int = 0) -> dict[str, float]:
    """Compare k-means clusters of the codes with the labels; there are as many clusters as labels.

    kmeans_accuracy    the share of codes in the cluster of their class, under the best pairing of classes and clusters
                       (Hungarian algorithm)
    kmeans_nmi         mutual information of clusters and labels over the mean of their entropies: 0 unrelated, 1 equal

    Raises AimganError without codes, for labels of another shape, or for numbers that are not finite.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    x, classes = _arrays(codes, labels)
    kmeans = KMeans(len(np.unique(classes)), n_init=STARTS, random_state=noise.mix(seed, "k-means") % 2**32)
    found = _fitted(kmeans, x).labels_
    counts = contingency_matrix(classes, found)
    paired = counts[linear_sum_assignment(counts, maximize=True)]
    return {
        "kmeans_accuracy": float(paired.sum() / len(classes)),
        "kmeans_nmi": float(normalized_mutual_info_score(classes, found)),
    }


def _accuracy(
    classifier: Any, train_codes: Codes, train_labels: Labels, test_codes: TestCodes, test_labels: TestLabels
) -> float:
    require_same_dimension("test codes", test_codes, train_codes)
    test = _arrays(test_codes, test_labels)
    return float(_fitted(classifier, *_arrays(train_codes, train_labels)).score(*test))


def _arrays(codes: Codes, labels: Labels) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, "n"]]:
    """Return both as arrays. Raises AimganError without codes, for unequal numbers of both, or non-finite values."""
    require_samples(len(codes))
    require_same_shape("labels", labels, codes[:, 0])
    require_finite("codes", codes)
    return codes.detach().cpu().double().numpy(), labels.cpu().numpy()


def _fitted(estimator: Any, *data: np.ndarray) -> Any:
    """Fit without the warning that an optimiser has stopped early: its answer is still scored."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*data)
