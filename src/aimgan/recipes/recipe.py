"""The complete configuration of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from aimgan.checked import python_numbers, shown, typed, values_for
from aimgan.data import DATA, DataSource
from aimgan.errors import OF_YOUR_OWN, AimganError, near_miss
from aimgan.networks import NETWORKS, Networks
from aimgan.networks.sizes import require_sizes, require_weights
from aimgan.objectives import OBJECTIVES
from aimgan.training.loop import SCHEDULES
from aimgan.training.precision import AUTO, FLOAT32, NAMES, PRECISIONS

Limit = tuple[tuple[str, ...], Callable[[float], bool], str]
LIMITS: tuple[Limit, ...] = (
    (("lr", "epochs", "steps", "refit"), lambda value: value > 0, "a number above zero"),
    (("final_lr", "evaluate_every", "checkpoint_seconds"), lambda value: value >= 0, "a number that is not negative"),
    (("beta1", "beta2", "ema"), lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    (("samples",), lambda value: value >= 100, "at least 100, since the score is a mean over ten splits of ten"),
    (("batch_size",), lambda value: value >= 2, "at least 2, since batch norm needs a batch"),
)
LATER = ("compile",)


@dataclass(frozen=True)
class Recipe:
    """Data, networks, objective and optimiser of a run. Either `epochs` or `steps` says how long it is.

    `networks.shape` is taken from the data when they are loaded. Adam's betas are (beta1, beta2).
    """

    name: str
    data: DataSource
    networks: Networks
    objective: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of the objective
    batch_size: int = 100
    epochs: float | None = None
    steps: int | None = None
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: str = "inverse-sqrt-epoch"
    final_lr: float = 0.0  # where "linear" and "cosine" end, as a share of lr
    ema: float = 0.0  # decay of the averages of the weights; 0: none
    precision: str = FLOAT32  # or "bf16", or "tf32" on a GPU, or "auto": bf16 where it pays (recipes/resolving.py)
    compile: bool = False  # each step is one compiled program (training/compiled.py), which takes minutes to make
    channels_last: bool = False  # memory format of images and convolutions
    deterministic: bool | None = None  # True: the same bits in each run on a GPU, which costs time; a CPU's always are
    evaluate_every: float = 0.0  # epochs; 0: at the end only
    samples: int = 50_000  # generated images that are scored
    features: str | None = None  # the feature network (evaluation/feature_networks.py); None: one that fits the data
    refit: float | None = None  # how long a last phase fits a fresh encoder to the frozen G (runs/refit.py), in steps
    # as a share of the run's own; None: there is no such phase
    checkpoint_seconds: float = field(default=30.0, compare=False)  # does not change the result

    def __post_init__(self) -> None:
        for f in fields(self):  # numpy's numbers could not be written to run.json
            object.__setattr__(self, f.name, python_numbers(getattr(self, f.name)))
        _require_one_of("objective", self.objective, OBJECTIVES)
        _require_one_of("schedule", self.schedule, SCHEDULES)
        _require_one_of("precision", self.precision, (AUTO, *NAMES, *PRECISIONS))
        object.__setattr__(self, "precision", NAMES.get(self.precision, self.precision))
        for name in self.options:
            _require_option(self.objective, name)
        for names, allowed, expected in LIMITS:
            for name in names:
                value = getattr(self, name)
                if value is not None and not (math.isfinite(value) and allowed(value)):
                    raise AimganError(f"{name} is {value}; expected {expected}")

    def length(self, steps_per_epoch: int) -> int:
        """Return how many steps the run has."""
        if self.steps is not None:
            return self.steps
        if self.epochs is None:
            raise AimganError(f"recipe {self.name} has neither epochs nor steps: pass --steps")
        return max(1, round(self.epochs * steps_per_epoch))


def _require_one_of(what: str, got: Any, valid: Any) -> None:
    if not isinstance(got, str) or got not in valid:
        raise near_miss(what, str(got), valid, OF_YOUR_OWN if valid in (OBJECTIVES, DATA, NETWORKS) else "")


def objective_options(name: str) -> set[str]:
    """Return the names of an objective's hyperparameters: its fields that are neither networks nor the prior."""
    return {f.name for f in fields(OBJECTIVES[name])} - {*network_names(name), "prior"}


def network_names(objective: str) -> list[str]:
    """Return the names of an objective's networks: its fields that are annotated as modules."""
    return [f.name for f in fields(OBJECTIVES[objective]) if "Module" in str(f.type)]


def _require_option(objective: str, name: str) -> None:
    options = objective_options(objective)
    if name not in options:
        raise near_miss(f"option of {objective}", name, options)


# --- as JSON ------------------------------------------------------------------------------------------------------


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as values for run.json: all settings that decide the result.

    A setting of LATER is left out where it has its default, so that runs that were begun before it was there go on.
    """
    values = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.compare}
    for f in fields(recipe):
        if f.name in LATER and values.get(f.name) == f.default:
            del values[f.name]
    values["data"] = _described(recipe.data, DATA)
    values["networks"] = _described(recipe.networks, NETWORKS)
    values["options"] = dict(recipe.options)
    return values


def setting_names(part: Any) -> list[str]:
    """Return the names of the fields of data or networks that are settings: all that are compared."""
    if not is_dataclass(part):
        raise AimganError(f"a recipe has {type(part).__name__}; expected a frozen dataclass, whose fields are settings")
    return [f.name for f in fields(part) if f.compare]


def _described(part: Any, kinds: Mapping[str, type]) -> dict[str, Any]:
    kind = next((name for name, cls in kinds.items() if type(part) is cls), None)
    if kind is None:
        registry, name = "DATA" if kinds is DATA else "NETWORKS", type(part).__name__
        raise AimganError(
            f"a recipe has {name}, and run.json can only name {', '.join(sorted(kinds))}: register it, as "
            f'{registry}["a name"] = {name}'
        )
    values: dict[str, Any] = {"kind": kind}
    for name in setting_names(part):
        value = getattr(part, name)
        values[name] = list(value) if isinstance(value, tuple) else value  # as JSON gives them back
    return values


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `to_dict` described. Raises AimganError for an unknown name or a wrong value."""
    objective = values.get("objective")
    _require_one_of("objective", objective, OBJECTIVES)
    known = {f.name for f in fields(Recipe)} - {"data", "networks"}
    given = {name: value for name, value in values.items() if name in known}
    settings = values_for(Recipe, {"name": None, "options": {}, **given}, "setting of a recipe")
    options = settings.pop("options")
    return Recipe(
        data=_built("data", values.get("data"), DATA),
        networks=_built("networks", values.get("networks"), NETWORKS),
        options={name: _typed_option(str(objective), name, value) for name, value in options.items()},
        **settings,
    )


def _built(what: str, values: Any, kinds: Mapping[str, type]) -> Any:
    if not isinstance(values, Mapping) or not isinstance(values.get("kind"), str):
        raise AimganError(f"{what} is {shown(values)}; expected a kind and its settings")
    arguments = dict(values)
    kind = arguments.pop("kind")
    _require_one_of(f"kind of {what}", kind, kinds)
    part = kinds[kind](**values_for(kinds[kind], arguments, f"setting of {what}"))
    if what == "networks":
        require_sizes(part)
    return part


def _typed_option(objective: str, name: str, value: Any) -> Any:
    _require_option(objective, name)
    return typed(OBJECTIVES[objective], name, value)


# --- with other settings ------------------------------------------------------------------------------------------


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe with `--set` applied: options of the objective, numbers of the recipe, `networks.*`, `data.*`.

    `data` and `networks` are themselves names of DATA and NETWORKS, whose default settings they stand for; networks
    keep the recipe's dim. Text is read as the type of the field. Raises AimganError for an unknown name, with the
    nearest known one, and for a wrong value.
    """
    for part, kinds in (("data", DATA), ("networks", NETWORKS)):
        if part in settings:
            recipe = replace(recipe, **{part: _of_kind(part, settings[part], kinds, recipe.networks)})
    settings = {name: value for name, value in settings.items() if name not in ("data", "networks")}
    networks: Any = recipe.networks
    network_names = set(setting_names(networks))
    network_settings = {}
    for name, value in settings.items():
        part, _, key = str(name).rpartition(".")
        if part == "networks" and key in network_names:
            network_settings[key] = typed(type(networks), key, value)
        else:
            recipe = _with_setting(recipe, str(name), value)
    # All at once, and with the size that is asked of the images: which width is possible depends on it.
    networks = replace(networks, **{**_known_shape(recipe), **network_settings})
    if network_settings:
        require_weights(networks)
    return replace(recipe, networks=networks)


def _of_kind(part: str, kind: Any, kinds: Mapping[str, Any], networks: Any) -> Any:
    """Return data or networks of a kind, with default settings."""
    _require_one_of(f"kind of {part}", kind, kinds)
    settings = {"dim": networks.dim} if part == "networks" else {}
    try:
        return kinds[kind](**settings)
    except TypeError as reason:  # a field without a default
        raise AimganError(f"{part}={kind} cannot be made ({reason}): give every field of it a default") from None


def _known_shape(recipe: Recipe) -> dict[str, Any]:
    """Return the images' shape as far as it is known before they are loaded."""
    size = getattr(recipe.data, "size", None)
    if not size:
        return {}
    channels = getattr(recipe.data, "channels", None) or recipe.networks.shape[0]
    return {"shape": (channels, size, size)}


def _with_setting(recipe: Recipe, name: str, value: Any) -> Recipe:
    options = objective_options(recipe.objective)
    numbers = {f.name for f in fields(Recipe)} - {"name", "data", "networks", "objective", "options"}
    data: Any = recipe.data
    data_names = {f"data.{key}" for key in setting_names(data)}
    if name in options:
        return replace(recipe, options={**recipe.options, name: _typed_option(recipe.objective, name, value)})
    if name in numbers:
        if name == "epochs":  # they replace the steps
            recipe = replace(recipe, steps=None)
        return replace(recipe, **{name: typed(Recipe, name, value)})
    if name in data_names:
        key = name.removeprefix("data.")
        return replace(recipe, data=replace(data, **{key: typed(type(data), key, value)}))
    network_names = {f"networks.{key}" for key in setting_names(recipe.networks)}
    raise near_miss(f"setting of {recipe.name}", name, options | numbers | data_names | network_names)
