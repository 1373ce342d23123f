"""A model's card: how it was made, its scores, its uses and its limits.

It is README.md of a saved model, its page on the Hub (docs/sharing.md), and what `aimgan info` shows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aimgan.checked import HUB_ID, numbers
from aimgan.errors import plain
from aimgan.markdown import code, words
from aimgan.score_meanings import MEANINGS, explained

# A path that begins with /, ./, ../ or ~, perhaps after --option=.
PATH = re.compile(r"([\w.-]+=)?(?:~[^/]*|\.{0,2})/(?:.*/)?([^/]+)/?")
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
        """Return the name of the data (the last part of a path), and their id on the Hub, if they have one."""
        settings = self.data_settings()
        path = str(settings.get("path") or "")
        hub = HUB_ID.fullmatch(path)
        if hub and not os.path.exists(path):
            return path, hub[1]
        return Path(path).name or str(settings.get("kind") or "not recorded"), None

    def versions(self) -> dict[str, str]:
        """Return the run's environment, by name."""
        return {plain(name): plain(str(value)) for name, value in _part(self.record, "environment").items()}

    def command(self) -> str:
        """Return the command that made the model, without the folders of the machine that it ran on."""
        program, *arguments = str(self.record.get("command") or "").split(" ")
        name = Path(program).name
        if name == "__main__.py":
            name = "aimgan"
        return plain(" ".join([name, *map(_without_folders, arguments)]))

    def markdown(self) -> str:
        """Return the card as a page: the Hub's YAML header, then text."""
        from huggingface_hub import ModelCard

        figures = {words(Path(path).stem): quote(path, errors="replace") for path in self.figures}
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


def _part(record: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a mapping inside run.json, or an empty one if there is none."""
    for name in names:
        record = record.get(name, {})
        if not isinstance(record, Mapping):
            return {}
    return record


def _without_folders(word: str) -> str:
    """Shorten absolute paths to their last part."""
    match = PATH.fullmatch(word)
    if not match:
        return word
    return (match[1] or "") + match[2]
