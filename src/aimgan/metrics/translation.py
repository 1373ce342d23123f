"""How well samples are translated from one data set to another, by pairs that training never saw."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def translation_scores(
    made: Float[Tensor, "n ..."], truth: Float[Tensor, "n ..."], classes: Int[Tensor, " n"] | None
) -> dict[str, float]:
    """Return the scores of translations beside their true counterparts; chance is 1/n for `pairs`.

    mse        mean squared error, over samples and elements
    pairs      share of translations whose nearest sample of `truth` is their own counterpart
    classes    share whose nearest sample has the class of their own, where classes are known
    """
    nearest = torch.cdist(made.flatten(1), truth.flatten(1)).argmin(dim=1).cpu()
    own = nearest == torch.arange(len(made))
    scores = {"mse": (made - truth).square().mean().item(), "pairs": own.float().mean().item()}
    if classes is not None:
        scores["classes"] = (classes[nearest] == classes).float().mean().item()
    return scores
