"""The paper's claims on images as a table, with what must be said about testing many of them. All pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aimgan.pages.tables import pipes
from aimgan.paper import claims
from aimgan.paper.columns import NONE
from aimgan.paper.request import Results
from aimgan.paper.statistics import FEWEST, LEVEL

HEADS = ("claim", "where", "measured here", "verdict", "p (Holm's)")
SMALLEST = 0.0001  # p value that is written out


def claims_table(results: Results) -> str:
    """Return the paper's claims, and which way each comes out here.

    The verdicts are made from the cells again, so that a file from before a rule is shown by that rule too.
    """
    found = claims.tested(results)
    rows = [(c["claim"], c["where"], c["measured"], c["verdict"], _p_values(c)) for c in found]
    return f"**The paper's claims**\n\n{pipes(HEADS, rows)}\n\n{_tested_at_once(found)}" if rows else ""


def _p_values(claim: Mapping[str, Any]) -> str:
    return NONE if claim["p"] is None else f"{_p_value(claim['p'])} ({_p_value(claim['p_holm'])})"


def _p_value(p: float) -> str:
    return f"{p:.2g}" if p >= SMALLEST else f"below {SMALLEST:g}"


def _tested_at_once(found: Sequence[Mapping[str, Any]]) -> str:
    """Say how many claims were tested together, at which level, and what a verdict is made by."""
    count = sum(claim["p"] is not None for claim in found)
    needs = f"A test takes {FEWEST} seeds of each method, and none that diverged."
    if not count:
        return f"No claim was tested. {needs}"
    return (
        f"{count} {'claims were' if count > 1 else 'claim was'} tested at once, each at the level {100 * LEVEL:g} %. "
        "A verdict is by the claim's own interval over seeds, which is not corrected; the p value by Holm's correction "
        f"for all claims that were tested stands beside. {needs}"
    )
