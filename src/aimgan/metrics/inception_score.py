"""Inception Score (Salimans et al., 2016, section 4; Table 1 of the paper).

The score of a part of the samples is exp of the mean over its images x of KL(p(y|x) || p(y)), p(y) the mean of p(y|x)
over that part. The samples are cut into contiguous parts in the order given, without shuffling. The table's +- is the
population standard deviation over the parts.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.sums import require_finite, require_samples


def inception_score(logits: Float[Tensor, "n classes"], splits: int = 10) -> dict[str, float]:
    """Return inception_score and inception_score_std over `splits` parts of the samples, in float64.

    Part i has the rows from i n / splits to (i + 1) n / splits, rounded down, as in the authors' code. Raises
    AimganError for fewer samples than parts, no part at all, or logits that are not finite.
    """
    if splits < 1:
        raise AimganError(f"got {splits} splits, expected at least 1; 10 is the usual number")
    n = len(logits)
    require_samples(n, minimum=splits)
    require_finite("logits", logits)
    log_p = logits.double().log_softmax(1)
    edges = [i * n // splits for i in range(splits + 1)]
    scores = torch.stack([_score(log_p[start:stop]) for start, stop in pairwise(edges)])
    return {"inception_score": float(scores.mean()), "inception_score_std": float(scores.std(correction=0))}


def _score(log_p: Float[Tensor, "n classes"]) -> Float[Tensor, ""]:
    """Return exp E KL(p(y|x) || p(y)) from log p(y|x); a probability that underflows to 0 adds 0."""
    log_marginal = log_p.logsumexp(0) - math.log(len(log_p))
    return (log_p.exp() * (log_p - log_marginal)).sum(1).mean().exp()
