from __future__ import annotations

import pytest

from aimgan.evaluation import evaluate as evaluation
from aimgan.metrics import prior_matching
from aimgan.runs import finish


@pytest.fixture
def quick(monkeypatch) -> None:
    """Score and draw fewer samples at the end of a run: seconds of what no test here looks at."""
    monkeypatch.setattr(evaluation, "SAMPLES", 3_000)
    monkeypatch.setattr(evaluation, "CODES", 500)
    monkeypatch.setattr(evaluation, "prior_matching", lambda codes, generator: prior_matching(codes[:300], generator))
    monkeypatch.setattr(finish, "DATA_POINTS", 1_000)
    monkeypatch.setattr(finish, "OTHER_POINTS", 100)
