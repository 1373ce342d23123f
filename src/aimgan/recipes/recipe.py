"""A recipe is one run, written as the objects it uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from aimgan.checked import python_numbers, shown, typed, values_for
from aimgan.data import DATA, DataSource
from aimgan.errors import AimganError, near_miss
from aimgan.networks import NETWORKS, Networks
from aimgan.networks.sizes import require_sizes, require_weights
from aimgan.objectives import OBJECTIVES
from aimgan.training.loop import SCHEDULES

Limit = tuple[tuple[str, ...], Callable[[float], bool], str]
LIMITS: tuple[Limit, ...] = (
    (("lr", "epochs", "steps"), lambda value: value > 0, "a number above zero"),
    (("final_lr", "evaluate_every", "checkpoint_seconds"), lambda value: value >= 0, "a number that is not negative"),
    (("beta1", "beta2", "ema"), lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    (("samples",), lambda value: value >= 100, "at least 100: ten splits of ten"),
    (("batch_size",), lambda value: value >= 2, "at least 2, since batch norm needs a batch"),
)


@dataclass(frozen=True)
class Recipe:
    """Data, networks, objective and optimiser of a run. One of `epochs` and `steps` says how long it is.

    `networks.shape` is taken from the data when they are loaded. Adam's betas are (beta1, beta2).
    """

    name: str
    data: DataSource
    networks: Networks
    objective: str
    options: Mapping[str, Any] = field(default_factory=dict)  # the objective's
    batch_size: int = 100
    epochs: float | None = None
    steps: int | None = None
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: str = "inverse-sqrt-epoch"
    final_lr: float = 0.0  # where "linear" and "cosine" end, as a share of lr
    ema: float = 0.0  # decay of the averages of the weights; 0: none
    precision: str = "no"  # or "bf16", or on a GPU "tf32"
    channels_last: bool = False  # memory format of images and convolutions
    evaluate_every: float = 0.0  # epochs; 0: at the end only
    samples: int = 50_000  # generated images that are scored
    features: str | None = None  # whose: evaluation/feature_networks.py; None: what fits the data and is at hand
    checkpoint_seconds: float = field(default=30.0, compare=False)  # changes nothing in the result

    def __post_init__(self) -> None:
        for f in fields(self):  # numpy's numbers could not be written to run.json
            object.__setattr__(self, f.name, python_numbers(getattr(self, f.name)))
        for kind, got, valid in (
            ("objective", self.objective, OBJECTIVES),
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, ("no", "bf16", "tf32")),
        ):
            if got not in valid:
                raise near_miss(kind, str(got), valid)
        unknown = set(self.options) - objective_options(self.objective)
        if unknown:
            raise near_miss(f"option of {self.objective}", min(unknown), objective_options(self.objective))
        for names, allowed, expected in LIMITS:
            for name in names:
                value = getattr(self, name)
                if value is not None and not (math.isfinite(value) and allowed(value)):
                    raise AimganError(f"{name} is {value}; expected {expected}")

    def length(self, steps_per_epoch: int) -> int:
        """How many steps the run has."""
        if self.steps is not None:
            return self.steps
        if self.epochs is None:
            raise AimganError(f"recipe {self.name} has neither epochs nor steps: pass --steps")
        return max(1, round(self.epochs * steps_per_epoch))


def objective_options(name: str) -> set[str]:
    """The hyperparameters of an objective: its dataclass fields that are neither players nor the prior."""
    return {f.name for f in fields(OBJECTIVES[name]) if not is_player(f.name)} - {"prior"}


def is_player(name: str) -> bool:
    """Whether an objective's field of this name is a network: those are capitals."""
    return name[0].isupper()


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Write a recipe by value, for run.json: all that decides the result."""
    return {
        **{f.name: getattr(recipe, f.name) for f in fields(recipe) if f.compare},
        "data": {"kind": _kind(recipe.data, DATA), **asdict(recipe.data)},  # type: ignore[call-overload]
        "networks": {"kind": _kind(recipe.networks, NETWORKS), **_lists(asdict(recipe.networks))},  # type: ignore[call-overload]
        "options": dict(recipe.options),
    }


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """Read what `to_dict` wrote. Raises AimganError for a kind or a field that is not known, or a wrong value."""
    own = [f.name for f in fields(Recipe) if f.name not in ("data", "networks")]
    objective = values.get("objective")
    if not isinstance(objective, str) or objective not in OBJECTIVES:
        raise near_miss("objective", str(objective), OBJECTIVES)
    given: dict[str, Any] = {"name": values.get("name"), "options": {}} | {
        name: values[name] for name in own if name in values
    }
    plain = values_for(Recipe, given, "setting of a recipe")
    data, networks = _build("data", values.get("data"), DATA), _build("networks", values.get("networks"), NETWORKS)
    require_sizes(networks)
    options = {name: _option(objective, name, value) for name, value in plain.pop("options").items()}
    return Recipe(data=data, networks=networks, options=options, **plain)


def _option(objective: str, name: str, value: Any) -> Any:
    """Return an objective's option, of its field's type. Raises AimganError for an unknown name, or a value."""
    if name not in objective_options(objective):
        raise near_miss(f"option of {objective}", name, objective_options(objective))
    return typed(OBJECTIVES[objective], name, value)


def _kind(part: object, registry: Mapping[str, type]) -> str:
    for name, cls in registry.items():
        if type(part) is cls:
            return name
    raise AimganError(f"{type(part).__name__} is none of {sorted(registry)}: a recipe by value needs one of them")


def _build(what: str, values: Any, registry: Mapping[str, type]) -> Any:
    if not isinstance(values, Mapping) or not isinstance(values.get("kind"), str):
        raise AimganError(f"{what} is {shown(values)}; expected a kind and its settings")
    cls = registry.get(kind := values["kind"])
    if cls is None:
        raise near_miss(f"kind of {what}", kind, registry)
    return cls(**values_for(cls, {k: v for k, v in values.items() if k != "kind"}, f"setting of {what}"))


def _lists(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, as JSON gives them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe with `--set` applied: the objective's options, the recipe's numbers, `part.field` of a part.

    Text is read as what the field is. Raises AimganError for an unknown name, with the near miss, and a wrong value.
    """
    networks: Any = recipe.networks
    given: dict[str, Any] = {}
    for name, value in settings.items():
        part, _, key = str(name).rpartition(".")
        if part == "networks" and key in {f.name for f in fields(networks)}:
            given[key] = typed(type(networks), key, value)
        else:
            recipe = _with_setting(recipe, str(name), value)
    # All at once, and with the size that is asked of the images: what width is possible depends on it.
    networks = replace(networks, **{**_known_shape(recipe), **given})
    if given:
        require_weights(networks)
    return replace(recipe, networks=networks)


def _known_shape(recipe: Recipe) -> dict[str, Any]:
    """Return the images' shape as far as it is known before they are loaded."""
    size, channels = getattr(recipe.data, "size", None), getattr(recipe.data, "channels", None)
    return {"shape": (channels or recipe.networks.shape[0], size, size)} if size else {}


def _with_setting(recipe: Recipe, name: str, value: Any) -> Recipe:
    own = {f.name for f in fields(Recipe)} - {"name", "data", "networks", "objective", "options"}
    options = objective_options(recipe.objective)
    parts = {f"{part}.{f.name}" for part in ("data", "networks") for f in fields(getattr(recipe, part))}
    if name in options:
        return replace(recipe, options={**recipe.options, name: _option(recipe.objective, name, value)})
    if name in own:
        recipe = replace(recipe, steps=None) if name == "epochs" else recipe
        return replace(recipe, **{name: typed(Recipe, name, value)})
    if name in parts:  # of the data: the networks' are taken together
        data: Any = recipe.data
        key = name.removeprefix("data.")
        return replace(recipe, data=replace(data, **{key: typed(type(data), key, value)}))
    raise near_miss(f"setting of {recipe.name}", name, options | own | parts)
