"""Scores of image models from the features of a network, from the codes, and from distances to training images.

Every score that uses a feature network is stored with the network's name, the checksum of its weights, its
resizer, the numbers of real and generated images, the split, and the seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from aimgan import noise
from aimgan.data import ImageSet
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.metrics import (
    FeatureMoments,
    ReconstructionError,
    class_preservation,
    copying,
    feature_error,
    frechet_distance,
    inception_score,
    kernel_distance,
    latent_scores,
    manifold_metrics,
    nearest_distances,
    posterior_images,
    sharpness,
)
from aimgan.model import LatentVariableModel

CHUNK = 1_000
KEPT = 5_000  # images whose features are kept to be compared: KID, precision, recall, density, coverage
SUBSETS = 50  # of a thousand images, for the kernel distance
PROBED = 10_000  # codes of training images on which the probes are trained
SIDE = 16  # pixels, of the images whose classes are predicted from pixels
NEIGHBOURS = 8  # draws G(z), z ~ q(z|x), of each image ...
WITH_NEIGHBOURS = 1_000  # ... of so many test images
COPIES = 1_000  # samples whose nearest training images are searched
LEAST = 20  # images of each split: with fewer, these scores are undefined or meaningless
PROGRESS = 5_000  # generated images of a score while a model trains


@dataclass(frozen=True)
class FeatureStatistics:
    """Features, moments and logits of a set of images.

    `features` are those of the first KEPT images, `moments` and `logits` those of all; a network without classes has no
    logits.
    """

    features: Float[Tensor, "kept d"]
    moments: FeatureMoments
    logits: Float[Tensor, "n classes"] | None

    @property
    def count(self) -> int:
        """How many images there were."""
        return int(self.moments.count)

    def joined(self, other: FeatureStatistics) -> FeatureStatistics:
        """Return the statistics of these images followed by those of `other`."""
        logits = None
        if self.logits is not None and other.logits is not None:
            logits = torch.cat([self.logits, other.logits])
        features = torch.cat([self.features, other.features])[:KEPT]
        return FeatureStatistics(features, self.moments + other.moments, logits)


def extract_features(network: FeatureNetwork, chunks: Iterable[Tensor], kept: int = KEPT) -> FeatureStatistics:
    """Pass images through a feature network, chunk by chunk."""
    features: list[Tensor] = []
    logits: list[Tensor] = []
    moments: list[FeatureMoments] = []
    missing = kept
    for x in chunks:
        f, answer = network(x)
        features.append(f[:missing].cpu())
        missing -= len(features[-1])
        moments.append(FeatureMoments.of(f))
        if answer is not None:
            logits.append(answer.cpu())
    return FeatureStatistics(torch.cat(features), reduce(add, moments), torch.cat(logits) if logits else None)


def samples(model: LatentVariableModel, n: int, seed: int, start: int = 0) -> Iterator[Tensor]:
    """Yield the generated images start, ..., n - 1 in chunks: the first k are the same whatever n is."""
    for k in range(start // CHUNK, math.ceil(n / CHUNK)):
        chunk = model.generate(CHUNK, noise.generator(seed, "image samples", k))
        begin = k * CHUNK
        yield chunk[max(0, start - begin) : n - begin]


def feature_scores(
    model: LatentVariableModel, data: ImageSet, network: FeatureNetwork, n_fake: int, seed: int
) -> dict[str, Any]:
    """Return the scores from a feature network, and the same scores of real data; nothing for fewer than 20 images.

    inception_score, _std       10 splits
    frechet_distance            of samples to test images
    kernel_distance             of at most 5,000 images of each
    precision, recall, density, coverage     of at most 5,000 and n_matched samples
    class_preservation, feature_error        of test images and their reconstructions

    Several of these depend on the number of images, so real data are compared with the same number of samples:
    `..._matched` are the scores of the first `n_matched` samples, and `..._real` those of as many real images: test
    images for the Inception Score, training images against the test images for the others.
    """
    if min(len(data.images.test), data.epoch_size) < LEAST:
        return {}
    real = extract_features(network, data.chunks())
    n_matched = min(n_fake, real.count, data.epoch_size)
    matched = extract_features(network, samples(model, n_matched, seed))
    fake = matched
    if n_matched < n_fake:
        fake = matched.joined(extract_features(network, samples(model, n_fake, seed, n_matched)))
    train = extract_features(network, data.chunks("train", n_matched))
    scores: dict[str, Any] = {
        "feature_network": network.name,
        "feature_checksum": network.checksum,
        "feature_resizer": network.resizer,
        "feature_comparable": network.comparable,
        "n_fake": fake.count,
        "n_real": real.count,
        "n_matched": n_matched,
        "split": "test",
        "feature_seed": seed,
    }
    scores |= with_baselines(fake, matched, real, train)
    draws = noise.generator(seed, "kernel distance")
    scores |= kernel_distance(real.features, fake.features, SUBSETS, generator=draws)
    scores |= manifold_metrics(real.features, matched.features)
    of_real = manifold_metrics(real.features, train.features)
    del of_real["coverage_expected"]
    scores |= renamed(of_real, "real")
    if model.E is not None:
        scores |= preserved(real, extract_features(network, (model.reconstruct(x) for x in data.chunks())))
    return scores


def with_baselines(
    fake: FeatureStatistics, matched: FeatureStatistics, real: FeatureStatistics, train: FeatureStatistics
) -> dict[str, Any]:
    """Return the scores of all samples `fake`, of the first ones `matched`, and of as many real images."""
    scores: dict[str, Any] = {}
    if fake.logits is not None and matched.logits is not None and real.logits is not None:
        scores |= inception_score(fake.logits)
        scores |= renamed(inception_score(matched.logits), "matched")
        scores |= renamed(inception_score(real.logits[: matched.count]), "real")
    scores["frechet_distance"] = frechet_distance(fake.moments, real.moments)
    scores["frechet_distance_matched"] = frechet_distance(matched.moments, real.moments)
    scores["frechet_distance_real"] = frechet_distance(train.moments, real.moments)
    return scores


def renamed(scores: Mapping[str, float], suffix: str) -> dict[str, float]:
    """Return scores by their names with a suffix: inception_score_real."""
    return {f"{name}_{suffix}": value for name, value in scores.items()}


def preserved(real: FeatureStatistics, reconstructed: FeatureStatistics) -> dict[str, Any]:
    """Return how well reconstructions keep the features and the class that a feature network gives to images."""
    scores: dict[str, Any] = feature_error(real.features, reconstructed.features)
    if real.logits is not None and reconstructed.logits is not None:
        scores["class_preservation"] = class_preservation(real.logits, reconstructed.logits)
    return scores


def scores_without_network(model: LatentVariableModel, data: ImageSet, seed: int) -> dict[str, Any]:
    """Return scores of copying, of reconstructions and neighbours, and of how well codes predict the class."""
    if not len(data.images.test):
        return {}
    scores = _copies(model, data, seed)
    if model.E is None:
        return scores
    # As many training images as there are test images, so that the two errors can be compared.
    train = data.chunks("train", len(data.images.test))
    errors = [ReconstructionError.of(x.to(model.device), model.reconstruct(x)) for x in train]
    scores["reconstruction_mse_train"] = reduce(add, errors).mean
    x = next(data.chunks(size=WITH_NEIGHBOURS)).to(model.device)
    scores |= sharpness(x, model.reconstruct(x))
    if not model.config.deterministic:
        near = model.neighbours(x, NEIGHBOURS, noise.generator(seed, "posterior images", device=model.device))
        scores |= posterior_images(x, near)
    return scores | _probes(model, data, seed)


def _probes(model: LatentVariableModel, data: ImageSet, seed: int) -> dict[str, Any]:
    """Return how well classes are predicted from codes, and from the pixels of images that are reduced to SIDE x SIDE.

    `largest_class` is the share of the largest class: what naming it for every image scores. Returns nothing without
    labels or with a single class.
    """
    train, test = data.images.train, data.images.test
    if train.labels is None or test.labels is None or len(test) < 2:
        return {}
    known = train.labels[data.places("train")[:PROBED]]
    if len(known.unique()) < 2:
        return {}
    asked = test.labels[data.places("test")]
    learnt_from = data.chunks("train", PROBED)
    of_codes = latent_scores(codes(model, learnt_from), known, codes(model, data.chunks()), asked, seed)
    learnt_from = data.chunks("train", PROBED)
    of_pixels = latent_scores(_pixels(learnt_from), known, _pixels(data.chunks()), asked, seed)
    largest = asked.unique(return_counts=True)[1].max().item() / len(asked)
    return {**of_codes, **renamed(of_pixels, "pixels"), "largest_class": largest}


def _pixels(chunks: Iterable[Tensor]) -> Float[Tensor, "n d"]:
    """Return images as vectors, reduced to SIDE x SIDE where they are larger: more pixels take minutes."""
    return torch.cat([adaptive_avg_pool2d(x.cpu(), min(SIDE, x.shape[-1])).flatten(1) for x in chunks])


def codes(model: LatentVariableModel, chunks: Iterable[Tensor]) -> Float[Tensor, "n d"]:
    """Return the means of q(z|x) of images."""
    return torch.cat([model.encode(x).mean.cpu() for x in chunks])


def _copies(model: LatentVariableModel, data: ImageSet, seed: int) -> dict[str, Any]:
    """Return the distance of samples to the nearest training image, compared with that of test images."""
    near = _to_nearest(torch.cat(list(samples(model, COPIES, seed))), data)
    anchor = _to_nearest(next(data.chunks(size=COPIES)).to(model.device), data)
    if not bool(anchor.any()):  # all test images are training images
        return {}
    return copying(near, anchor)


def _to_nearest(x: Tensor, data: ImageSet) -> Tensor:
    """Return the distance of each image to the nearest training image."""
    distances = [nearest_distances(x, part.to(x.device))[0] for part in data.chunks("train", size=2_000)]
    return reduce(torch.minimum, distances)


def inception_score_so_far(model: LatentVariableModel, network: FeatureNetwork, seed: int) -> dict[str, float]:
    """Return the Inception Score of 5,000 samples in one split, since ten splits of 500 would be biased."""
    logits = extract_features(network, samples(model, PROGRESS, seed), kept=0).logits
    if logits is None:
        return {}
    return {"inception_score_5000": inception_score(logits, splits=1)["inception_score"]}
