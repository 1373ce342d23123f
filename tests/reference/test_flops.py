"""The arithmetic of a step: G 3 x, D 7 x, E 3 x one forward, less what no gradient needs (science.md 3).

Counted by torch's own counter (2 x multiply-adds) on meta tensors, which have shapes and no values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aimgan.networks import StandardNormal, Table3, Table4
from aimgan.objectives.aim import AIM
from aimgan.train.engine import Engine

N = 100


class Still:
    """Moves nothing: a step's arithmetic without the optimiser's."""

    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], lr: float) -> None:
        assert len(parameters) == len(gradients)

    def state(self, parameter: Tensor) -> dict[str, Tensor]:
        return {}


def flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def first_layer(network: nn.Module) -> nn.Module:
    return next(m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d))


def first_input(network: nn.Module, x: Tensor) -> int:
    """What the gradient of a network's input costs in its first layer: as much as that layer's forward."""
    seen: list[Tensor] = []
    hook = first_layer(network).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    network(x)
    hook.remove()
    return flops(lambda: first_layer(network)(seen[0].detach()))


@pytest.mark.parametrize(("family", "billions"), [(Table3(), 26.85), (Table4(), 839.9)], ids=["Table 3", "Table 4"])
def test_a_step_of_aim_has_no_redundant_arithmetic(family: Table3 | Table4, billions: float) -> None:
    with torch.device("meta"):
        G, E, D, prior = family.G(), family.E(), family.D(), StandardNormal(family.dim)
        x, z = torch.empty(N, *family.shape), torch.empty(N, family.dim)
    forward_g, forward_d = flops(lambda: G(z)), flops(lambda: D(x))
    f = D.features(x)
    forward_e = flops(lambda: E(f))
    unneeded = first_input(G, z) + 2 * first_input(D, x)  # z's; x's and x_z's where D's own loss is descended

    engine = Engine(AIM(G, E, D, prior), Still(), Accelerator(cpu=True, mixed_precision="no"))
    step = flops(lambda: engine.step(x, 0, 0.0))
    assert step == 3 * forward_g + 7 * forward_d + 3 * forward_e - unneeded
    assert step == pytest.approx(billions * 1e9, rel=1e-3)
