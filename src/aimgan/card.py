"""A model's card: how it was made, its scores, its uses and its limits.

It is README.md of a saved model, its page on the Hub (docs/sharing.md), and what `aimgan info` shows.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aimgan.checked import HUB_ID, numbers
from aimgan.errors import plain
from aimgan.markdown import code, words
from aimgan.score_meanings import MEANINGS, explained

HOME = re.compile(r"(?:/root|(?:/home|/Users|\w:[/\\]Users)[/\\][^/\\]+|~[^/\\]*)[/\\]?")
TASK = "unconditional-image-generation"  # the Hub's name for it
TEMPLATE = Path(__file__).with_name("card.md")


@dataclass(frozen=True)
class Card:
    """The content of a model's card. Fields from the run folder are empty if there is none."""

    objective: str
    networks: str  # their family
    shape: tuple[int, ...]
    dim: int
    encoder: bool
    parameters: Mapping[str, int]  # how many, by network
    about: Mapping[str, Any]  # recipe, seed, steps, ...
    source: str = "FOLDER"  # what `aimgan.load` is given
    record: Mapping[str, Any] = field(default_factory=dict)  # run.json
    scores: Mapping[str, Any] = field(default_factory=dict)  # evaluation.json
    figures: tuple[str, ...] = ()  # paths on the card's page
    license: str | None = None  # of the weights, by its name on the Hub

    @property
    def numbers(self) -> dict[str, float]:
        """Return the scores that are single numbers."""
        found = numbers(self.scores)
        found.pop("steps", None)
        return found

    def data_settings(self) -> Mapping[str, Any]:
        """Return the settings of the data that the model was trained on."""
        return _part(self.record, "settings", "recipe", "data")

    def data(self) -> tuple[str, str | None]:
        """Return the name of the data (the last part of a path), and their id on the Hub if they came from there."""
        settings = self.data_settings()
        path = str(settings.get("path") or "")
        hub = HUB_ID.fullmatch(path)
        if hub and _part(self.record, "data").get("hub") is True:
            return path, hub[1]
        return last_part(path) or str(settings.get("kind") or "not recorded"), None

    def versions(self) -> dict[str, str]:
        """Return the run's environment, by name."""
        return {plain(name): plain(str(value)) for name, value in _part(self.record, "environment").items()}

    def command(self) -> str:
        """Return the command that made the model as a shell takes it. Only the last part of each path is in it."""
        recipe = str(_part(self.record, "settings", "recipe").get("name"))
        recorded = self.record.get("command")
        if isinstance(recorded, str):
            recorded = _earlier(recorded, recipe)
        if not isinstance(recorded, list) or not recorded:
            return "not recorded"
        names = {recipe, self.data()[0]}  # they may have a slash, and are no paths
        shown = [_without_folders(str(word), names) for word in recorded]
        if shown[0] == "__main__.py":
            shown[0] = "aimgan"
        return plain(shlex.join(shown))

    def markdown(self) -> str:
        """Return the card as a page: the Hub's YAML header, then text."""
        from huggingface_hub import ModelCard

        figures = {words(Path(path).stem): link_to(path) for path in self.figures}
        scores = explained(self.scores)
        page = ModelCard.from_template(
            self._header(), str(TEMPLATE), card=self, scores=scores, figures=figures, code=code, words=words
        )
        return f"{page}\n"

    def _header(self) -> Any:
        """Return the Hub's metadata: library, tags, task, licence, data sets, and the scores as its model-index."""
        from huggingface_hub import EvalResult, ModelCardData

        name, hub_id = self.data()
        tags = ["aimgan", plain(self.objective), "latent-variable-model"]
        values: dict[str, Any] = {"library_name": "aimgan", "license": self.license, "tags": tags}
        task = "other"
        if len(self.shape) == 3:
            task = values["pipeline_tag"] = TASK
            if self.encoder:
                tags.append("image-feature-extraction")
        if hub_id:
            values["datasets"] = [hub_id]
        results = []
        for score, value in self.numbers.items():
            if score in MEANINGS:
                results.append(EvalResult(task, hub_id or name, name, score, value))
        if results:
            values |= {"model_name": self.source.rpartition("/")[2], "eval_results": results}
        return ModelCardData(**values)


def link_to(path: str) -> str:
    """Return the path of a figure as a link on a card's page, in its parentheses."""
    return f"({quote(path, errors='replace')})"


def _part(record: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a mapping inside run.json, or an empty one if there is none."""
    for name in names:
        record = record.get(name, {})
        if not isinstance(record, Mapping):
            return {}
    return record


def last_part(path: str) -> str:
    """Return the last part of a path; ~ for a home folder, whose name is that of a person."""
    if HOME.fullmatch(path) or path.rstrip("/") == os.path.expanduser("~"):
        return "~"
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _without_folders(word: str, names: Collection[str]) -> str:
    """Shorten a path in a word of a command, perhaps after --option= or the name of a setting, to its last part."""
    match = re.fullmatch(r"(--[\w-]+=)?((?:data\.path|data\.path_b|features)=)?(.*)", word, re.DOTALL)
    assert match is not None
    rest = match[3] if match[3] in names else last_part(match[3])
    return f"{match[1] or ''}{match[2] or ''}{rest}"


def _earlier(command: str, recipe: str) -> list[str]:
    """Return the words of a command that an earlier version joined with spaces, up to the first path.

    Where a path ends cannot be known, since it may have spaces.
    """
    words = ["aimgan", "train"]
    for word in command.partition(" train ")[2].split(" "):
        if word != recipe and re.search(r"[/\\~]", word):
            return [*words, "..."]
        words.append(word)
    return words
