"""The plan of a run: a recipe with a command's flags applied, or the recipe that a run's folder records."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from aimgan.checked import integer, python_numbers
from aimgan.data import InMemory, in_memory
from aimgan.data.memory import Given
from aimgan.devices import resolved_device
from aimgan.errors import AimganError
from aimgan.networks import MLP
from aimgan.recipes.assemble import fit_networks
from aimgan.recipes.catalogue import recipe_named
from aimgan.recipes.presets import ON_A_CPU, preset_of, with_preset
from aimgan.recipes.recipe import Recipe, from_dict, to_dict, with_settings
from aimgan.training.precision import AUTO, FLOAT32, multiplies_bf16
from aimgan.training.run_dir import RunDir
from aimgan.training.tracking import trackers

CPU_NOTE = (
    "on a CPU, so the sizes are those of --preset cpu: images of 32 x 32, narrow networks "
    "(--size, --set networks.width= and --minutes change them; --preset paper is for a GPU)"
)


Settings = Mapping[str, Any] | None


class Flags(TypedDict, total=False):
    """What `aimgan train` takes besides a recipe and a folder: each name is a flag of the command."""

    data: Any  # a path, or data in memory (data/memory.py)
    data_b: str | Path | None  # a path of the second data set
    size: int | None
    seed: int
    steps: int | None
    minutes: float | None
    device: str
    settings: Mapping[str, Any] | None  # --set
    preset: str | None
    extend: bool
    new_data: bool
    track: Sequence[str] | None


FLAGS = tuple(Flags.__annotations__)


@dataclass(frozen=True)
class Plan:
    """One run: what is trained, from which seed, for how many steps, on which device, and in which folder."""

    recipe: Recipe
    output: Path
    seed: int = 0
    steps: int = 0  # known when the data are loaded
    minutes: float | None = None  # about how long to train; it decides the steps of a new run
    device: str = "cpu"  # or "cuda"
    extend: bool = False  # more steps than at the run's start are allowed
    new_data: bool = False  # other images than at the run's start are allowed
    trackers: tuple[str, ...] = ()
    note: str = ""  # what is said before the run, of what was chosen for it

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that decide the result, as run.json keeps them."""
        return settings_of(self.recipe, self.seed, self.steps)

    def with_steps(self, steps: int) -> Plan:
        """Return the plan with another length."""
        return replace(self, recipe=with_settings(self.recipe, {"steps": steps}), steps=steps)

    def fitted(self, batches: Any, begun: Mapping[str, Any] | None) -> Plan:
        """Return the plan with networks, batch and length that fit the data.

        A run that goes on with other images than at its start keeps its batch and, unless it is extended, its length:
        `begun` is then its run.json. Raises AimganError for fewer images than a batch has.
        """
        recipe = fitted(self.recipe, batches)
        if begun is None:
            return replace(self, recipe=recipe, steps=recipe.length(batches.epoch_size // recipe.batch_size))
        batch_size = begun["settings"].get("recipe", {}).get("batch_size", recipe.batch_size)
        if batches.epoch_size < batch_size:
            raise AimganError(
                f"there are {batches.epoch_size:,} images to train on, and the run has batches of "
                f"{batch_size}: give it at least as many images, or choose another --output"
            )
        recipe = with_settings(recipe, {"batch_size": batch_size})
        steps = recipe.length(batches.epoch_size // batch_size)
        if not self.extend:
            steps = begun["settings"].get("steps", steps)
        return replace(self, recipe=recipe, steps=steps)


def resolve(recipe: str | Recipe, output: str | Path | None, flags: Flags) -> Plan:
    """Return the plan of a run from what a command was given. Raises AimganError for an unknown name or wrong value."""
    device = resolved_device(flags.get("device", "auto"))
    preset, note = flags.get("preset"), ""
    if preset is None and device == "cpu" and isinstance(recipe, str):
        preset = ON_A_CPU.get(recipe.partition("/")[0])
        note = CPU_NOTE if preset else ""
    minutes = flags.get("minutes")
    if minutes is not None and flags.get("steps") is not None:
        raise AimganError(f"got {flags['steps']} steps and {minutes} minutes; expected one of them: leave one out")
    if minutes is not None and not 0 < minutes < math.inf:
        raise AimganError(f"minutes is {minutes}; expected a number above zero")
    _require_text("--data", flags.get("data"))
    _require_text("--output", output)
    _require_text("--data-b", flags.get("data_b"))
    settings = with_second(recipe, flags.get("data_b"), flags.get("settings"))
    made = prepared(recipe, flags.get("data"), flags.get("size"), flags.get("steps"), settings, preset)
    if preset is not None and not _has_length(flags):
        minutes = preset_of(made, preset).minutes
    name = made.name.replace("/", "-")
    if flags.get("preset"):
        name = f"{name}-{flags['preset']}"
    folder = Path(output or Path("runs") / name)
    return Plan(
        recipe=with_precision(made, device, folder),
        output=folder,
        seed=integer("seed", flags.get("seed", 0)),
        minutes=minutes,
        device=device,
        note=note,
        extend=flags.get("extend", False),
        new_data=flags.get("new_data", False),
        trackers=tuple(trackers(flags.get("track", ()))),
    )


def with_precision(recipe: Recipe, device: str, folder: Path) -> Recipe:
    """Return the recipe with the precision that `auto` stands for: that of the run in the folder, else the device's.

    bf16 is for devices that multiply it natively, and not for multilayer perceptrons, whose steps it makes slower
    (benchmarks/results/precision.md).
    """
    if recipe.precision != AUTO:
        return recipe
    begun = RunDir(folder).read()
    if begun is not None:
        precision = begun["settings"].get("recipe", {}).get("precision", FLOAT32)
    elif multiplies_bf16(device) and not isinstance(recipe.networks, MLP):
        precision = "bf16"
    else:
        precision = FLOAT32
    return with_settings(recipe, {"precision": precision})


def _require_text(flag: str, path: object) -> None:
    """Raise AimganError for a path that is not UTF-8: a run's report could not name it, nor safetensors open it."""
    if not isinstance(path, str | Path):
        return
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise AimganError(f"{flag} is {str(path)!r}; expected UTF-8: rename it, or pass a link to it") from None


def _has_length(flags: Flags) -> bool:
    names = {"epochs", "steps"} & set(flags.get("settings") or {})
    return flags.get("steps") is not None or flags.get("minutes") is not None or bool(names)


def prepared(
    recipe: str | Recipe,
    data: Any = None,
    size: int | None = None,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
) -> Recipe:
    """Return a recipe with a command's flags applied. Raises AimganError for an unknown name or a wrong value."""
    if isinstance(recipe, str):
        recipe = recipe_named(recipe)
    if data is not None and not isinstance(data, str | Path):
        recipe, data = with_memory(recipe, data), None
    if preset is not None:
        recipe = with_preset(recipe, preset)
    if steps is not None and settings and "epochs" in settings:
        raise AimganError(f"got {steps} steps and {settings['epochs']} epochs; expected one of them: leave one out")
    given: dict[str, Any] = {}
    if data is not None:
        _require_images(recipe, "path", "--data")
        given["data.path"] = str(data)
    if size is not None:
        _require_images(recipe, "size", "--size")
        given["data.size"] = size
        if getattr(recipe.networks, "width", size) < integer("size", size):
            given["networks.width"] = size  # the narrowest that has a layer for each halving of the side
    if steps is not None:
        given["steps"] = steps
    return with_settings(python_numbers(recipe), {**given, **(settings or {})})


def with_second(recipe: str | Recipe, path: str | Path | None, settings: Settings) -> Settings:
    """Return `--set` with the path of the second data set. Raises AimganError for a recipe that has only one."""
    if path is None:
        return settings
    named = recipe_named(recipe) if isinstance(recipe, str) else recipe
    if not hasattr(named.data, "path_b"):
        raise AimganError(f"recipe {named.name} has no second data set: leave --data-b out, or take pairs/cyclegan")
    return {"data.path_b": str(path), **(settings or {})}


def with_memory(recipe: Recipe, data: Any) -> Recipe:
    """Return the recipe with data in memory, images in the size and channels of the recipe's own.

    Raises AimganError for points where the recipe has images, or the reverse.
    """
    if hasattr(recipe.networks, "between"):
        raise AimganError(f"{recipe.name} has two data sets, which cannot be in memory: pass --data A and --data-b B")
    given = in_memory(data)
    shape = recipe.networks.shape
    are_points = given.are_points if isinstance(given, Given) else len(given.shape) == 1
    if are_points and len(shape) != 1:
        raise AimganError(
            f"data has the shape of points, (n, d), and {recipe.name} is for images: give (n, h, w), (n, h, w, c) or "
            f"(n, c, h, w), or take grid/{recipe.objective}"
        )
    if not are_points and len(shape) == 1:
        raise AimganError(f"data has images, and {recipe.name} is for points (n, d): take folder/{recipe.objective}")
    old: Any = recipe.data
    return replace(recipe, data=InMemory(getattr(old, "size", None), getattr(old, "channels", None), given=given))


def _require_images(recipe: Recipe, name: str, flag: str) -> None:
    if not hasattr(recipe.data, name) or len(recipe.networks.shape) == 1:
        raise AimganError(
            f"recipe {recipe.name} makes its own data: leave {flag} out, or take folder/{recipe.objective}"
        )


def fitted(recipe: Recipe, batches: Any) -> Recipe:
    """Return the recipe with networks of the data's shape, and a batch that a small data set can fill."""
    if batches.epoch_size < 2:
        raise AimganError(f"there is {batches.epoch_size} image to train on; expected at least 2")
    if recipe.refit and len(batches.shape) not in (1, 3):
        raise AimganError(
            f"refit is {recipe.refit}; expected none, since the samples of {recipe.name} are neither images nor points"
        )
    recipe = fit_networks(recipe, batches.shape, getattr(batches, "training_samples_of_b", None))
    values = recipe.networks.value_range
    if recipe.options.get("likelihood") == "bernoulli" and values != (0.0, 1.0):
        inside = "values without bounds" if values is None else f"values in [{values[0]:g}, {values[1]:g}]"
        raise AimganError(
            f"likelihood is bernoulli, but the networks of {recipe.name} have {inside}; expected [0, 1], as those of "
            "mnist and digits have: leave it at gaussian"
        )
    return with_settings(recipe, {"batch_size": min(recipe.batch_size, batches.epoch_size)})


def settings_of(recipe: Recipe, seed: int, steps: int) -> dict[str, Any]:
    """Return the settings that decide a run's result, as JSON gives them back."""
    return json.loads(json.dumps({"recipe": to_dict(recipe), "seed": seed, "steps": steps}))


def recorded(run: RunDir) -> tuple[Recipe, int]:
    """Return the recipe and the seed of a run from its folder. Raises AimganError if it is not a run folder."""
    record = run.read()
    if record is None:
        raise AimganError(f"{run.path} is not a run folder (no run.json): check the path, or train a run")
    recipe = record["settings"].get("recipe")
    seed = record["settings"].get("seed")
    if not isinstance(recipe, dict) or type(seed) is not int:
        raise AimganError(f"{run.record} has no recipe or no seed: train the run again")
    return from_dict(recipe), seed
