"""A plan on its way: its data, its folder, and the processes that share the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from aimgan import console as screen
from aimgan.checked import read_json
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.model import LatentVariableModel, to_range
from aimgan.model_config import with_own_encoder
from aimgan.networks.own_encoder import WIDTH
from aimgan.recipes.assemble import config_of
from aimgan.recipes.resolving import Plan
from aimgan.runs.loading import loaded, network_for, say_what_was_read
from aimgan.sharing.hub import load
from aimgan.training.processes import Processes
from aimgan.training.run_dir import RunDir


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
        plan = plan.fitted(data, folder.read() if plan.new_data else None)
        if plan.note:
            screen.say(console, plan.note)
        processes.share(plan.recipe.batch_size)
        return cls(plan, data, folder, accelerator, processes, console)

    def batch(self, step: int) -> Tensor:
        """Return this process's share of the batch of a step, in the range of the networks."""
        recipe, processes = self.plan.recipe, self.processes
        x = self.data.batch(self.plan.seed, step, recipe.batch_size, processes.rank, processes.world)
        return to_range(x.to(self.accelerator.device), recipe.networks.value_range)

    def feature_network(self) -> FeatureNetwork | None:
        """Return the network that generated images are scored by, on the process that scores them."""
        if not self.processes.first or self._is_evaluated():
            return None
        return network_for(self.plan.recipe, self.data, self.accelerator.device, self.console)

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
            for warning in self.folder.begin(self.plan.settings, self.plan.extend, read, self.plan.new_data):
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
            config = with_own_encoder(config, WIDTH)
        model = LatentVariableModel.build(config)
        model.load_state_dict(self.processes.tensors(tensors))
        return model
