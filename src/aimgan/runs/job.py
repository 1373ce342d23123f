"""A plan on its way: its data, its folder, and the processes that share the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from aimgan import console as screen
from aimgan.checked import read_json
from aimgan.data import ImageSet
from aimgan.devices import on_device
from aimgan.evaluation.feature_networks import FeatureNetwork, require_digits
from aimgan.model import LatentVariableModel, to_range
from aimgan.model_config import with_own_encoder
from aimgan.recipes.assemble import config_of
from aimgan.recipes.resolving import Plan
from aimgan.runs.loading import loaded, network_for, say_what_was_read
from aimgan.sharing.hub import load
from aimgan.training.precision import SLOW, multiplies_bf16
from aimgan.training.processes import Processes
from aimgan.training.run_dir import DATA_PATHS, RunDir, flat


@dataclass(frozen=True)
class Job:
    """A plan on its way: its data, its folder, and the processes that share the work."""

    plan: Plan
    data: Any
    folder: RunDir
    accelerator: Accelerator
    processes: Processes
    console: Console

    @classmethod
    def begun(cls, plan: Plan, accelerator: Accelerator, console: Console) -> Job:
        """Load the data and fit the plan to them. Every process of a launch must come here."""
        processes = Processes.of(accelerator)
        if not processes.first:
            console = Console(quiet=True)
        folder = RunDir(plan.output)
        data = loaded(plan.recipe.data, console, accelerator.device)
        begun = folder.read() if plan.new_data and processes.first else None
        plan = plan.fitted(data, processes.of_the_first(begun))
        if plan.note:
            screen.say(console, plan.note)
        if plan.recipe.precision == "bf16" and not multiplies_bf16(accelerator.device):
            screen.say(console, SLOW, "warning:")
        if processes.world > 1:
            processes.require_same(in_common(plan, data))
        processes.share(plan.recipe.batch_size, data.epoch_size)
        return cls(plan, data, folder, accelerator, processes, console)

    def batch(self, step: int) -> Tensor:
        """Return this process's share of the batch of a step, in the range of the networks."""
        recipe, processes = self.plan.recipe, self.processes
        x = self.data.batch(self.plan.seed, step, recipe.batch_size, processes.rank, processes.world)
        return to_range(on_device(x, self.accelerator.device), recipe.networks.value_range)

    def feature_network(self) -> Callable[[], FeatureNetwork | None]:
        """Return a function that gives the network that generated images are scored by, on the process that scores.

        A network that is not available fails here, before the run. Only the classifier of digits, which may have to be
        trained, is made at the function's first call.
        """
        if not self.processes.first or self._is_evaluated():
            return lambda: None
        recipe, data = self.plan.recipe, self.data
        made = cache(partial(network_for, recipe, data, self.accelerator.device, self.console))
        if recipe.features == "digits" and isinstance(data, ImageSet):
            require_digits(data)
        else:
            made()
        return made

    @contextmanager
    def locked_folder(self) -> Iterator[None]:
        """Keep other runs out of the folder. It is on the first process's machine."""
        if not self.processes.first:
            yield
            return
        with self.folder.held():
            yield

    def is_complete(self) -> bool:
        """Open the folder, say what differs from its beginning, and return whether the run is complete."""
        complete = False
        if self.processes.first:
            read = say_what_was_read(self.plan.recipe, self.data, self.console)
            plan, device = self.plan, self.accelerator.device.type
            for warning in self.folder.begin(plan.settings, plan.extend, read, plan.new_data, device):
                screen.say(self.console, warning, "warning:")
            complete = self._is_evaluated()
            if complete:
                screen.say(self.console, f"{self.folder.path} is complete: {self.plan.steps:,} steps")
        return bool(self.processes.integer(complete))

    def _is_evaluated(self) -> bool:
        """Return whether the evaluation, a run's last act, has been written for this number of steps."""
        try:
            return read_json(self.folder.evaluation)["steps"] == self.plan.steps and self.folder.model.exists()
        except (OSError, ValueError, KeyError):
            return False

    @property
    def _own_networks(self) -> Any:
        return getattr(self.plan.recipe.networks, "players", None) or None

    def finished_model(self) -> LatentVariableModel:
        """Return the model on every process, wherever the folder is."""
        if self.processes.world == 1:
            return load(self.folder.path, networks=self._own_networks)
        tensors = load(self.folder.path, networks=self._own_networks).state_dict() if self.processes.first else {}
        config = config_of(self.plan.recipe, {})
        if self.plan.recipe.refit:
            config = with_own_encoder(config)
        model = LatentVariableModel.build(config)
        model.load_state_dict(self.processes.tensors(tensors))
        return model


def in_common(plan: Plan, data: Any) -> dict[str, Any]:
    """Return what all processes of a launch must have in common: the data first, on which other settings depend.

    The path may differ: each machine can have the same images in another place.
    """
    found: dict[str, Any] = {"the number of training images": data.epoch_size}
    if isinstance(data, ImageSet):
        found["the images' shape"] = data.shape
        found["the images' fingerprint"] = data.images.measured["fingerprint"]
    settings = dict(flat(plan.settings))
    for name in DATA_PATHS:
        settings.pop(f"recipe.{name}", None)
    return {**found, **settings, "minutes": plan.minutes}
