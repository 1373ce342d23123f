"""A recipe is one run, written as the objects it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from aimgan.data import DATA, DataSource
from aimgan.errors import AimganError, near_miss
from aimgan.networks import NETWORKS, Networks
from aimgan.objectives import OBJECTIVES
from aimgan.train.loop import SCHEDULES

NOT_OPTIONS = {"G", "E", "D", "D_z", "D_xz", "prior"}  # an objective's players


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
    precision: str = "no"  # or "bf16"
    evaluate_every: float = 0.0  # epochs; 0: at the end only

    def __post_init__(self) -> None:
        for kind, got, valid in (
            ("objective", self.objective, OBJECTIVES),
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, ("no", "bf16")),
        ):
            if got not in valid:
                raise near_miss(kind, str(got), valid)
        unknown = set(self.options) - objective_options(self.objective)
        if unknown:
            raise near_miss(f"option of {self.objective}", min(unknown), objective_options(self.objective))
        for name in ("batch_size", "lr", "epochs", "steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise AimganError(f"{name} is {value}; expected a number above zero")

    def length(self, steps_per_epoch: int) -> int:
        """How many steps the run has."""
        if self.steps is not None:
            return self.steps
        if self.epochs is None:
            raise AimganError(f"recipe {self.name} has neither epochs nor steps: pass --steps")
        return max(1, round(self.epochs * steps_per_epoch))


def objective_options(name: str) -> set[str]:
    """The hyperparameters of an objective: its dataclass fields that are not players."""
    return {f.name for f in fields(OBJECTIVES[name])} - NOT_OPTIONS


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Write a recipe by value, for run.json."""
    return {
        **{f.name: getattr(recipe, f.name) for f in fields(recipe)},
        "data": {"kind": _kind(recipe.data, DATA), **asdict(recipe.data)},  # type: ignore[call-overload]
        "networks": {"kind": _kind(recipe.networks, NETWORKS), **_lists(asdict(recipe.networks))},  # type: ignore[call-overload]
        "options": dict(recipe.options),
    }


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """Read what `to_dict` wrote. Raises AimganError for a kind or a field that is not known."""
    known = {f.name for f in fields(Recipe)}
    parts = {
        "data": _build("data", values["data"], DATA),
        "networks": _build("networks", values["networks"], NETWORKS),
    }
    return Recipe(**{**{name: value for name, value in values.items() if name in known}, **parts})


def _kind(part: object, registry: Mapping[str, type]) -> str:
    for name, cls in registry.items():
        if type(part) is cls:
            return name
    raise AimganError(f"{type(part).__name__} is none of {sorted(registry)}: a recipe by value needs one of them")


def _build(what: str, values: Mapping[str, Any], registry: Mapping[str, type]) -> Any:
    kind = values["kind"]
    if kind not in registry:
        raise near_miss(f"kind of {what}", str(kind), registry)
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "kind"}
    unknown = set(arguments) - {f.name for f in fields(registry[kind])}
    if unknown:
        raise near_miss(f"setting of {what}", min(unknown), {f.name for f in fields(registry[kind])})
    return registry[kind](**arguments)


def _lists(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, as JSON gives them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe with `--set` applied: the objective's options, the recipe's own numbers, `part.field` of a part.

    Raises AimganError for an unknown name, with the near miss.
    """
    for name, value in settings.items():
        recipe = _with_setting(recipe, name, value)
    return recipe


def _with_setting(recipe: Recipe, name: str, value: Any) -> Recipe:
    own = {f.name for f in fields(Recipe)} - {"name", "data", "networks", "objective", "options"}
    options = objective_options(recipe.objective)
    parts = {
        f"{part}.{f.name}": part for part in ("data", "networks") for f in fields(getattr(recipe, part))
    }  # fmt: skip
    if name in options:
        cls: type = OBJECTIVES[recipe.objective]
        return replace(recipe, options={**recipe.options, name: _typed(cls, name, value)})
    if name in own:
        extra = {"steps": None} if name == "epochs" else {}
        return replace(recipe, **{name: _typed(Recipe, name, value)}, **extra)
    if name in parts:
        part = getattr(recipe, parts[name])
        key = name.split(".", 1)[1]
        return replace(recipe, **{parts[name]: replace(part, **{key: _typed(type(part), key, value)})})
    raise near_miss(f"setting of {recipe.name}", name, options | own | set(parts))


def _typed(cls: type, name: str, value: Any) -> Any:
    """Check a value against the field's annotation: numbers for numbers, None only where it is allowed."""
    annotation = str(next(f.type for f in fields(cls) if f.name == name))
    allowed = {part.strip().split("[")[0] for part in annotation.split("|")}
    kinds = {"int": int, "float": (int, float), "str": str, "bool": bool, "None": type(None), "tuple": (tuple, list)}
    for kind in allowed:
        if kind in kinds and isinstance(value, kinds[kind]) and (kind == "bool" or not isinstance(value, bool)):
            return value
    raise AimganError(f"{name} is {value!r}; expected {annotation}")
