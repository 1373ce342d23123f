"""A model's card: what it is, how it was made, what it scores, what it is for and what not.

README.md of a saved model, its page on the Hub (docs/sharing.md), and what `aimgan info` shows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aimgan.errors import plain

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
PATH = re.compile(
    r"([\w.-]+=)?(?:~[^/]*|\.{0,2})/(?:.*/)?([^/]+)/?"
)  # from a root, a home or here, after --option= or not
TASK = "unconditional-image-generation"  # as the Hub calls it
LARGEST = 1e30  # a score that is larger is none

SCORES = {  # those that a card shows, with what they are
    "modes": "modes of the mixture that are found",
    "high_quality": "share of samples within 3 standard deviations of a mode",
    "mode_kl": "KL of the modes' frequencies from the data's, nats",
    "inception_score": "Inception Score, high is better",
    "frechet_distance": "Fréchet distance of features, low is better",
    "frechet_distance_matched": "the same of as many samples as the next row has images",
    "frechet_distance_real": "the same of training images: what can be reached",
    "kernel_distance": "kernel distance of features, low is better",
    "precision": "precision: share of samples among the real images",
    "recall": "recall: share of real images among the samples",
    "reconstruction_mse": "mean square error of held-out reconstructions",
    "mean_image_mse": "the same of the mean training image: what knows nothing",
    "mode_centre_mse": "the same of the centre of the mode: what knows the mode and nothing else",
    "class_preservation": "share of reconstructions of the image's class",
    "probe_accuracy": "accuracy of a linear classifier of codes",
    "coverage_80": "share of known codes inside q(z|x)'s 80 % intervals: 0.8 is calibrated",
    "memorisation_ratio": "samples' distance to training images over held-out images' own: about 1 is none",
}
ANCHORS = ("frechet_distance_real", "mean_image_mse", "mode_centre_mse")  # of SCORES: not the model's own
CANNOT_SAY = {  # what is said where a score of the first names is shown
    ("inception_score", "frechet_distance", "kernel_distance", "precision", "recall"): (
        "Scores of features are of the feature network and the number of samples named above: compare them with "
        "numbers of the same network, number and preprocessing only. They do not tell new images from copies."
    ),
    (
        "reconstruction_mse",
    ): "A low reconstruction error says nothing of the samples, and a blurred image may have one.",
    ("modes", "high_quality"): "Found modes and good samples do not say that the modes' shapes are right.",
}
USE = (
    "Research, teaching and experiments: to generate, encode, reconstruct, search and compare samples like those it "
    "was trained on."
)
LIMITS = (
    "It knows its training data only. Whatever else it is given, it answers with the nearest of what it can make.",
    "A reconstruction is G's image of a code, not the input: details are invented. It is no evidence of anything.",
    "No warranty on faces: not for telling who somebody is, nor for judging anybody by a picture. What the training "
    "data lack or repeat, the model lacks or repeats.",
    "Weights can hold training images, and no score here rules that out: publish none that were trained on pictures "
    "which you may not publish.",
    "The scores are of one run with one seed.",
)


@dataclass(frozen=True)
class Card:
    """What people are told of a model. What only its run's folder knows is empty for a saved model alone."""

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
        return {
            name: value for name, value in self.scores.items()
            if type(value) in (int, float) and abs(value) <= LARGEST and name != "steps"
        }  # fmt: skip

    def data(self) -> tuple[str, str | None]:
        """Return the data's name and, where they are the Hub's, their id. Of a path of one's own only the last part."""
        values = _part(self.record, "settings", "recipe", "data")
        path = str(values.get("path") or "")
        if HUB_ID.fullmatch(path.partition("@")[0]) and not os.path.exists(path):
            return path, path.partition("@")[0]
        return Path(path).name or str(values.get("kind") or "not recorded"), None

    def versions(self) -> dict[str, str]:
        """Return what the run's environment was, by name."""
        return {plain(name): plain(str(value)) for name, value in _part(self.record, "environment").items()}

    def command(self) -> str:
        """Return the command that made the model, without the folders of the machine it ran on."""
        program, *words = str(self.record.get("command") or "").split(" ")
        name = Path(program).name
        name = "aimgan" if name in ("aimgan", "__main__.py") else name
        return plain(" ".join([name, *map(_without_folders, words)]))

    def markdown(self) -> str:
        """Return the card as a page: the Hub's YAML header, then text."""
        parts = (self._title(), self._use(), self._data(), self._scores(), self._figures(), *PURPOSE, self._made())
        return self.header() + "\n".join(part for part in parts if part)

    def header(self) -> str:
        """Return the Hub's YAML header: library, tags, task, licence, data sets, scores as its model-index."""
        from huggingface_hub import EvalResult, ModelCardData

        images, (name, hub_id) = len(self.shape) == 3, self.data()
        results = [
            EvalResult(TASK if images else "other", hub_id or name, name, key, value, metric_name=SCORES[key])
            for key, value in self.numbers.items()
            if key in SCORES and key not in ANCHORS
        ]
        encodes = ["image-feature-extraction"] if self.encoder and images else []
        values = ModelCardData(
            library_name="aimgan",
            license=self.license,
            pipeline_tag=TASK if images else None,
            tags=["aimgan", plain(self.objective), "latent-variable-model", *encodes],
            datasets=[hub_id] if hub_id else None,
            model_name=self.source.rpartition("/")[2] if results else None,
            eval_results=results or None,
        )
        return f"---\n{values.to_yaml()}\n---\n\n"

    def _title(self) -> str:
        about = "".join(f"- {_bare(name)}: {_code(value)}\n" for name, value in self.about.items())
        counts = "; ".join(f"{name} {count:,}" for name, count in self.parameters.items())
        return (
            f"# {_bare(self.objective)}, made with aimgan\n\nA generative model of {self._x()} with codes of "
            f"{self.dim} dimensions.\n\n{about}- networks: `{self.networks}`\n- parameters: {counts}"
            + ("\n" if self.encoder else "; no encoder\n")
        )

    def _x(self) -> str:
        kind, unit = ("images", " in [0, 1]") if len(self.shape) == 3 else ("points", "")
        return f"{kind} {self.shape}{unit}"

    def _use(self) -> str:
        shape = ", ".join(map(str, self.shape))
        inference = (
            f"model.encode(x).mean    # (n, {self.dim}), codes of x (n, {shape})\n"
            "model.reconstruct(x)    # G of these codes\n"
            "model.neighbours(x, 8)  # G of draws from q(z|x)\n"
        )
        return (
            f'## Use\n\n```python\nimport aimgan\n\nmodel = aimgan.load("{self.source}")\n'
            f"model.generate(16)      # (16, {shape})\n{inference if self.encoder else ''}```\n"
        )

    def _data(self) -> str:
        if not self.record:
            return ""
        name, hub_id = self.data()
        told = f"[{hub_id}](https://huggingface.co/datasets/{hub_id})" if hub_id else _code(name)
        settings = _part(self.record, "settings", "recipe", "data")
        more = ", ".join(
            f"{_bare(key)} {_bare(value)}" for key, value in settings.items() if key not in ("path", "kind")
        )
        return f"## Data\n\n{told}" + (f" ({more})" if more else "") + ". They are not part of this model.\n"

    def _scores(self) -> str:
        shown = {key: value for key, value in self.numbers.items() if key in SCORES}
        if not shown:
            return ""
        told = {key: SCORES[key].replace("|", "\\|") for key in shown}
        rows = "".join(f"| `{key}` | {value:.4g} | {told[key]} |\n" for key, value in shown.items())
        network = self.scores.get("feature_network")
        seen = f"{_code(Path(str(network)).name)}, {_bare(self.scores.get('n_fake'))} samples"
        of = f" Feature network: {seen}." if network else ""
        unsaid = "".join(f"- {text}\n" for names, text in CANNOT_SAY.items() if shown.keys() & set(names))
        head = "## Scores\n\n| score | value | what it is |\n| --- | --- | --- |\n"
        return f"{head}{rows}\nBy `aimgan evaluate`.{of}\n\n{unsaid}"

    def _figures(self) -> str:
        pictures = "".join(f"![{_bare(Path(path).stem)}]({quote(path, errors='replace')})\n" for path in self.figures)
        return f"## Figures\n\n{pictures}" if pictures else ""

    def _made(self) -> str:
        if not self.record:
            return ""
        versions = ", ".join(f"{_bare(name)} {_bare(value)}" for name, value in self.versions().items())
        git = f"\n\nCommit {_bare(self.record['git'])}." if self.record.get("git") else ""
        return f"## How it was made\n\n```sh\n{self.command().replace('`', chr(39))}\n```\n\n{versions}.{git}\n"


PURPOSE = (f"## Intended use\n\n{USE}\n", "## Limits\n\n" + "".join(f"- {limit}\n" for limit in LIMITS))


def _part(record: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a mapping inside of run.json; an empty one where it is none."""
    part: Any = record
    for name in names:
        part = part.get(name) if isinstance(part, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _code(value: Any) -> str:
    """Return a value of a stranger's file as Markdown that is only shown."""
    return f"`{plain(str(value)).replace('`', chr(39)) or ' '}`"


def _bare(value: Any) -> str:
    """Return a value as words in a line of Markdown: what would be a link, a picture, a tag or a table is left out."""
    return re.sub(r"[^\w .,;=+%@(){}'/-]", "", plain(str(value)))


def _without_folders(word: str) -> str:
    """Return a word of a command; of a path that is not relative to where it ran, only the last part."""
    match = PATH.fullmatch(word)
    return (match[1] or "") + match[2] if match else word
