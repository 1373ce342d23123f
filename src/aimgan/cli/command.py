"""What every verb on a trained model is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimgan import console as screen
from aimgan.cli.inputs import Input, read
from aimgan.devices import resolved_device
from aimgan.sharing.hub import load

if TYPE_CHECKING:
    from rich.console import Console

    from aimgan.model import LatentVariableModel


@dataclass(frozen=True)
class Command:
    """The model's place, the device that it is used on, and where messages are printed."""

    run: str
    device: str
    console: Console

    def model(self) -> LatentVariableModel:
        """Load the model."""
        return load(self.run, resolved_device(self.device))

    def read(self, model: LatentVariableModel, inputs: Sequence[str], shape: tuple[int, ...] | None = None) -> Input:
        """Read files and folders as a batch for the model, with a progress bar, and name those that are skipped.

        Samples are of the shape of the model's, or of another one.
        """
        with screen.decoding(self.console) as progress:
            given = read(inputs, shape or model.shape, progress, model.config.scale)
        screen.say_skipped(self.console, given.skipped, len(given.x))
        return given
