"""Alarms: what in a run's own rows says that it goes wrong. They warn and never stop it: a non-finite loss does that.

An alarm is a function of the rows of metrics.jsonl so far, so that a resumed run says what the whole run would have
said. It reads the losses of log rows, and of evaluation rows the signs of collapse that `evaluation.evaluate` adds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
PAGE = "docs/troubleshooting.md"

BEGINNING = 20  # log rows, a run has no fewer: before that, codes that say nothing may be no more than untrained
ROWS = 5  # log rows in a row: a single one is a wave, of which every GAN has some
SCORES = 2  # evaluations in a row
SATURATED = 0.01  # of D's terms, each: it is 99 % sure of both sides, its logits 9 apart. Sound runs: 0.09 and above
CONSTANT = 1e-4  # of the loss itself: sound runs move by 0.9 % and more in five rows, by their batches' noise alone
GROWTH, AT_LEAST = 100.0, 10.0  # times the smallest size yet, which counts as 10 where it is less: a loss may cross 0
DEAD = 0.01  # of the data's spread: less than one of Table 2's 25 modes alone, 0.018, where every GAN there begins
CLIPPED = 0.9  # of the values that should lie between black and white
UNUSED = 0.9  # of the code's dimensions: a VAE leaves some at the prior, an InfoGAN half, neither nearly all
MOST = 0.5  # of the posterior's log variances, at a bound
RISEN = 0.5  # nats above the smallest KL yet: as if two fifths of the samples' modes were lost, exp(-0.5) = 0.61

ADVERSARIAL = ("adversarial", "of G", "ratio", "manifold", "symmetric kl")  # G's part in a game


@dataclass
class History:
    """What the alarms need of the rows so far, whatever their number: the last few, and the smallest values yet."""

    losses: deque[Row] = field(default_factory=lambda: deque(maxlen=ROWS))
    scores: deque[Row] = field(default_factory=lambda: deque(maxlen=SCORES))
    smallest: dict[str, float] = field(default_factory=dict)
    age: int = 0  # log rows

    def add(self, row: Row) -> None:
        """Take a row in: of losses where it has a learning rate, of an evaluation where it has none."""
        row = {name: value for name, value in row.items() if isinstance(value, int | float)}  # a file may hold anything
        (self.losses if "lr" in row else self.scores).append(row)
        self.age += "lr" in row
        for name, value in row.items():
            if name.startswith("loss/") or name == "mode_kl":
                self.smallest[name] = min(abs(value), self.smallest.get(name, abs(value)))

    def last(self, name: str) -> list[float]:
        """Return the last values of a score, or none before there are enough, or in a run's beginning."""
        values = [row[name] for row in self.scores if name in row]
        return values if len(values) == SCORES and self.age >= BEGINNING else []


def discriminator_saturated(seen: History) -> bool:
    """Whether a discriminator's every term is near its least. Value functions with terms below zero have no least."""
    return any(_certain(seen, name.removeprefix("loss/")) for name in _names(seen) if name.startswith("loss/D"))


def generator_dead(seen: History) -> bool:
    """Whether G's samples hardly differ, or its part in the game stands still."""
    spread = seen.last("generated_spread")
    return (bool(spread) and max(spread) < DEAD) or any(_still(seen, name) for name in _names(seen) if _of_game(name))


def output_saturated(seen: History) -> bool:
    """Whether generated images are black and white where the data's are not."""
    return _above(seen, "generated_saturated", CLIPPED)


def posterior_collapse(seen: History) -> bool:
    """Whether the code that E answers hardly depends on x."""
    return _above(seen, "codes_at_prior", UNUSED)


def variance_at_floor(seen: History) -> bool:
    """Whether most of E's log variances lie at their lower bound."""
    return _above(seen, "variance_at_floor", MOST)


def variance_at_ceiling(seen: History) -> bool:
    """Whether most of E's variances are out of all proportion to the prior's."""
    return _above(seen, "variance_at_ceiling", MOST)


def mode_kl_rising(seen: History) -> bool:
    """Whether a mixture's modes are hit less evenly than they have been."""
    return _above(seen, "mode_kl", seen.smallest.get("mode_kl", 0.0) + RISEN)


def losses_growing(seen: History) -> bool:
    """Whether a loss is out of all proportion to what it has been: divergence before it is non-finite."""
    return any(_grown(seen, name) for name in _names(seen) if name.startswith("loss/"))


ALARMS: dict[str, tuple[Callable[[History], bool], str]] = {
    "discriminator-saturated": (discriminator_saturated, "a discriminator is sure of every sample"),
    "generator-dead": (generator_dead, "G's samples do not vary"),
    "output-saturated": (output_saturated, "generated images are black and white only"),
    "posterior-collapse": (posterior_collapse, "E's codes do not depend on x"),
    "variance-at-floor": (variance_at_floor, "E's variances are at their lower bound"),
    "variance-at-ceiling": (variance_at_ceiling, "E's variances are far above the prior's"),
    "mode-kl-rising": (mode_kl_rising, "modes are being lost"),
    "losses-growing": (losses_growing, "a loss grows without bound"),
}


@dataclass
class Watch:
    """Reads rows one after another and says which alarms stand. Rows that were written before are given first."""

    before: Iterable[Row] = ()
    standing: list[str] = field(default_factory=list)
    _seen: History = field(default_factory=History)

    def __post_init__(self) -> None:
        for row in self.before:
            self.see(row)

    def see(self, row: Row) -> list[str]:
        """Take the next row in, and return a line for each alarm that begins or ends with it."""
        old = self.standing
        self._seen.add(row)
        self.standing = [name for name, (stands, _) in ALARMS.items() if stands(self._seen)]
        begun = [f"{name} at step {row['step']:,}: {ALARMS[name][1]}; see {PAGE}#{name}" for name in self.standing
                 if name not in old]  # fmt: skip
        return begun + [f"{name} is over at step {row['step']:,}" for name in old if name not in self.standing]


def _names(seen: History) -> Iterator[str]:
    return (name for name in (seen.losses[-1] if seen.losses else {}) if "/" in name)


def _values(seen: History, name: str) -> list[float]:
    """Return the last values of a loss or term, or none before there are enough."""
    values = [row[name] for row in seen.losses if name in row]
    return values if len(values) == ROWS else []


def _above(seen: History, name: str, bound: float) -> bool:
    values = seen.last(name)
    return bool(values) and min(values) > bound


def _certain(seen: History, D: str) -> bool:
    """Whether D's every term has been near 0: those that judge samples, or its loss where it has none."""
    terms = [name for name in _names(seen) if name.startswith(f"{D}/") and not name.endswith("/penalty")]
    values = [value for name in terms or [f"loss/{D}"] for value in _values(seen, name)]
    return bool(values) and min(values) >= 0 and max(values) < SATURATED


def _grown(seen: History, name: str) -> bool:
    least = GROWTH * max(seen.smallest[name], AT_LEAST)
    values = _values(seen, name)
    return bool(values) and min(map(abs, values)) > least


def _of_game(name: str) -> bool:
    players, term = name.split("/", 1)
    return players.startswith("G") and term in ADVERSARIAL


def _still(seen: History, name: str) -> bool:
    values = _values(seen, name)
    return bool(values) and max(values) - min(values) <= CONSTANT * max(map(abs, values))
