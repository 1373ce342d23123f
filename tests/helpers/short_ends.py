"""The end of a run, made short: few scores and points, or only the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def score_few(samples: int, codes: int, points: int, put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Score and draw few samples, codes and points at the end of each run. `put=monkeypatch.setattr` can be undone."""
    from aimgan.evaluation import evaluate as evaluation  # here: some callers import aimgan only after a fork
    from aimgan.metrics import prior_matching
    from aimgan.runs import finish

    put(evaluation, "SAMPLES", samples)
    put(evaluation, "CODES", codes)
    put(evaluation, "prior_matching", lambda z, generator: prior_matching(z[: codes // 2], generator))
    put(finish, "DATA_POINTS", points)
    put(finish, "OTHER_POINTS", 100)


def only_the_model(model: Any, data: Any, run: Any, *rest: Any) -> dict[str, float]:
    """Save the model, and neither score nor draw it: takes the place of aimgan.runs.train.finish."""
    model.save(run.model)
    return {}
