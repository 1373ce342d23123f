"""Alarms: signs in the rows of metrics.jsonl that a run goes wrong. They warn; only a non-finite loss stops a run.

Alarms depend on the rows so far only, so a resumed run raises the same alarms as an uninterrupted run. Log rows contain
losses, evaluation rows the signs of collapse that evaluation/collapse.py computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
PAGE = "docs/troubleshooting.md"

BEGINNING = 20  # log rows at the start of a run: until then, codes without information may just be untrained
ROWS = 5  # consecutive log rows: single ones fluctuate in every GAN
SCORES = 2  # consecutive evaluations
SATURATED = 0.01  # each of D's terms: D is 99 % sure of real and of generated samples. Good runs have at least 0.09
CONSTANT = 1e-4  # of the loss: in good runs it varies by at least 0.9 % over five rows, just because batches differ
GROWTH, AT_LEAST = 100.0, 10.0  # times the smallest absolute loss so far, or 10 if that is less: a loss may cross 0
DEAD = 0.01  # of the data's spread; samples from one of Table 2's 25 modes, as GANs make at first, have 0.018
CLIPPED = 0.9  # of the values that should lie between black and white
UNUSED = 0.9  # of the code's dimensions: a good VAE leaves some at the prior and a good InfoGAN half of them
MOST = 0.5  # share of the posterior's log variances that are at a bound
RISEN = 0.5  # nats above the smallest KL so far: as if two fifths of the modes were lost, exp(-0.5) = 0.61

ADVERSARIAL = ("adversarial", "of G", "ratio", "manifold", "symmetric kl")  # the terms of G against a discriminator


@dataclass
class History:
    """The rows that the alarms need: the last few, and the smallest absolute value of each loss so far."""

    losses: deque[Row] = field(default_factory=lambda: deque(maxlen=ROWS))
    scores: deque[Row] = field(default_factory=lambda: deque(maxlen=SCORES))
    smallest: dict[str, float] = field(default_factory=dict)
    age: int = 0  # log rows

    def add(self, row: Row) -> None:
        """Add a log row, which has a learning rate, or the row of an evaluation, which has none."""
        row = {name: value for name, value in row.items() if isinstance(value, int | float)}  # a file may hold anything
        if "lr" in row:
            self.losses.append(row)
            self.age += 1
        else:
            self.scores.append(row)
        for name, value in row.items():
            if name.startswith("loss/") or name == "mode_kl":
                self.smallest[name] = min(abs(value), self.smallest.get(name, abs(value)))

    def names(self) -> list[str]:
        """Return the names of losses ("loss/D") and terms ("D/real") in the last log row."""
        if not self.losses:
            return []
        return [name for name in self.losses[-1] if "/" in name]

    def last(self, name: str) -> list[float]:
        """Return the last ROWS values of a loss or term, or an empty list if there are fewer."""
        values = [row[name] for row in self.losses if name in row]
        return values if len(values) == ROWS else []

    def last_scores(self, name: str) -> list[float]:
        """Return the last SCORES values of a score, or an empty list if there are fewer or the run has just started."""
        values = [row[name] for row in self.scores if name in row]
        return values if len(values) == SCORES and self.age >= BEGINNING else []


def discriminator_saturated(seen: History) -> bool:
    """Return whether all terms of a discriminator's loss are near 0, their lowest value."""
    for loss in seen.names():
        if loss.startswith("loss/D"):
            D = loss.removeprefix("loss/")
            terms = [name for name in seen.names() if name.startswith(f"{D}/") and not name.endswith("/penalty")]
            values: list[float] = []
            for name in terms or [loss]:
                values += seen.last(name)
            if values and min(values) >= 0 and max(values) < SATURATED:  # some value functions have negative terms
                return True
    return False


def generator_dead(seen: History) -> bool:
    """Return whether G's samples hardly differ, or its loss against a discriminator is constant."""
    spread = seen.last_scores("generated_spread")
    if spread and max(spread) < DEAD:
        return True
    for name in seen.names():
        players, term = name.split("/", 1)
        if players.startswith("G") and term in ADVERSARIAL:
            values = seen.last(name)
            if values and max(values) - min(values) <= CONSTANT * max(abs(value) for value in values):
                return True
    return False


def losses_growing(seen: History) -> bool:
    """Return whether a loss is much larger than it has been: it diverges, though it is still finite."""
    for name in seen.names():
        sizes = [abs(value) for value in seen.last(name)]
        if name.startswith("loss/") and sizes and min(sizes) > GROWTH * max(seen.smallest[name], AT_LEAST):
            return True
    return False


def mode_kl_rising(seen: History) -> bool:
    """Return whether samples are spread less evenly over a mixture's modes than they have been."""
    values = seen.last_scores("mode_kl")
    return bool(values) and min(values) > seen.smallest["mode_kl"] + RISEN


def above(name: str, bound: float) -> Callable[[History], bool]:
    """Return an alarm for a score that is above a bound."""

    def stands(seen: History) -> bool:
        values = seen.last_scores(name)
        return bool(values) and min(values) > bound

    return stands


ALARMS: dict[str, tuple[Callable[[History], bool], str]] = {
    "discriminator-saturated": (discriminator_saturated, "a discriminator is sure of every sample"),
    "generator-dead": (generator_dead, "G's samples do not vary"),
    "output-saturated": (above("generated_saturated", CLIPPED), "generated images are black and white only"),
    "posterior-collapse": (above("codes_at_prior", UNUSED), "E's codes do not depend on x"),
    "variance-at-floor": (above("variance_at_floor", MOST), "E's variances are at their lower bound"),
    "variance-at-ceiling": (above("variance_at_ceiling", MOST), "E's variances are far above the prior's"),
    "worse-than-mean-image": (above("error_over_mean_image", 1.0), "reconstructions are no better than the mean image"),
    "mode-kl-rising": (mode_kl_rising, "modes are being lost"),
    "losses-growing": (losses_growing, "a loss grows without bound"),
}


@dataclass
class Watch:
    """Reads rows one after another and keeps the names of active alarms. `before` are the rows already written."""

    before: Iterable[Row] = ()
    standing: list[str] = field(default_factory=list)
    _seen: History = field(default_factory=History)

    def __post_init__(self) -> None:
        for row in self.before:
            self.see(row)

    def see(self, row: Row) -> list[str]:
        """Read a row, and return a line for each alarm that begins or ends with it."""
        old = self.standing
        self._seen.add(row)
        self.standing = [name for name, (stands, _) in ALARMS.items() if stands(self._seen)]
        lines = []
        for name in self.standing:
            if name not in old:
                lines.append(f"{name} at step {row['step']:,}: {ALARMS[name][1]}; see {PAGE}#{name}")
        for name in old:
            if name not in self.standing:
                lines.append(f"{name} is over at step {row['step']:,}")
        return lines
