"""How much arithmetic a step of each objective is, written down: the passes of each network, and what a pass costs.

F is a forward pass. A backward pass gives the weights' gradients (W), the input's (I), or both at once (B). With 2 x
multiply-adds counted, each kind of gradient costs a layer as much as its forward pass: W = 2F less the first layer's
input gradient, which nobody needs; I = F; B = 2F. A discriminator of pairs has Ix and Iz, of one member.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aimgan.networks import ImplicitPosterior, JointDiscriminator

CONV = "aten.convolution"
AIM = {"G": "F W", "E": "F B", "D": "2F 2W I"}
ALI = {"G": "F W", "E": "F W", "D_xz": "2F 2W Ix Iz"}
ALICE = ALI | {"G": "2F W B"}
PASSES: dict[str, dict[str, str]] = {
    "aim": AIM,
    "aim-minus": AIM,
    "gan": {"G": "F W", "D": "2F 2W I"},
    "ali": ALI,
    "bigan": ALI,
    "alice": ALICE,
    "alice, adversarial": ALICE | {"D_xx": "2F 2W I"},
    "veegan": {"G": "F W", "E": "2F W I", "D_xz": "2F 2W Ix"},
    "unrolled-gan": {"G": "F W", "D": "2F 2W"},  # and the inner steps, below
    "vae": {"G": "F B", "E": "F W"},
    "aae": {"G": "F B", "E": "2F 2W", "D_z": "3F 2W I"},
    "vae-gan": {"G": "2F 2W I", "E": "F W", "D": "3F 3W 2I", "D.features": "I"},
    "avb": {"G": "F B", "E": "F W", "D_xz": "2F 2W Iz"},
    "age": {"G": "2F W I", "E": "3F 2W I"},
    "infogan": {"G": "F W", "E": "F B I", "D": "2F 2W I"},
    "mdgan": {"G": "2F W B", "E": "F W", "D": "3F 2W 2I"},
    "mdgan, manifold-diffusion": {"G": "3F W B", "E": "2F W", "D_m": "2F 2W I", "D": "2F 2W I"},
    "symmetric-vae": {"G": "2F W B", "E": "2F W B", "D_xz": "2F 2W Ix Iz"},
    "ian": {"G": "2F W B", "E": "F W", "D": "3F 3W 2I"},  # and the products of filters, below
    "cyclegan": {"G": "2F W B", "E": "2F W B", "D": "3F 2W I", "D_z": "3F 2W I"},
    "discogan": {"G": "2F W B", "E": "2F W B", "D": "2F 2W I", "D_z": "2F 2W I"},
    "dualgan": {"G": "4F W B", "E": "2F W B", "D": "7F 6W I", "D_z": "7F 6W I"},  # three moves of the critics
    "inversion": {"G": "2F W I", "E": "F W", "D": "2F 2W I"},
}


def flops(run: Callable[[], object]) -> int:
    return sum(by_kind(run).values())


def by_kind(run: Callable[[], object]) -> dict[str, int]:
    with FlopCounterMode(display=False) as counter:
        run()
    return {str(operation): count for operation, count in counter.get_flop_counts().get("Global", {}).items()}


def run(network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    out = network(*inputs)
    if isinstance(out, ImplicitPosterior):
        out.sample(1)


def first_layers(network: nn.Module) -> list[nn.Module]:
    """The layers that read the network's inputs."""
    if isinstance(network, JointDiscriminator):
        branches = first_layers(network.features) + first_layers(network.embed)
        return branches or first_layers(network.head)
    weighted = (m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d))
    return [*weighted][:1]


def cost(network: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    """What one pass of each kind costs."""
    seen: list[tuple[nn.Module, Tensor]] = []
    hooks = [m.register_forward_pre_hook(lambda m, args: seen.append((m, args[0]))) for m in first_layers(network)]
    forward = by_kind(lambda: run(network, inputs))
    for hook in hooks:
        hook.remove()
    F, first = sum(forward.values()), sum(flops(partial(m, x.detach())) for m, x in seen)
    made = {"F": F, "W": 2 * F - first, "I": F, "B": 2 * F, "first": first, "convolutions": forward.get(CONV, 0)}
    if isinstance(network, JointDiscriminator):
        of_x, of_z = flops(lambda: network.features(inputs[0])), flops(lambda: network.embed(inputs[1]))
        made |= {"Ix": F - of_z, "Iz": F - of_x}
    return made


def counted(passes: str, costs: dict[str, int]) -> int:
    """`2F W` -> 2 x a forward pass + a backward pass to the weights."""
    return sum(int(times or 1) * costs[kind] for times, kind in re.findall(r"(\d*)([A-Z][xz]?)", passes))


def inputs_of(player: str, objective: Any, x: Tensor) -> tuple[Tensor, ...]:
    z = torch.empty(len(x), objective.prior.dim, device=x.device, dtype=x.dtype)
    if player == "E" and objective.reads_features:
        return (objective.D.features(x).detach(),)
    return {"G": (z,), "D_z": (z,), "D_xz": (x, z), "D_xx": (x, x)}.get(player, (x,))


def formula(name: str, objective: Any, x: Tensor) -> int:
    """FLOPs of a step of PASSES[name] on the batch x."""
    players = {player: attrgetter(player)(objective) for player in PASSES[name]}
    costs = {player: cost(network, inputs_of(player, objective, x)) for player, network in players.items()}
    total = sum(counted(passes, costs[player]) for player, passes in PASSES[name].items())
    if name == "unrolled-gan":
        return total + inner_steps(objective, costs["D"])
    return total + (products_of_filters(objective) if name == "ian" else 0)


def products_of_filters(objective: Any) -> int:
    """What orthogonal regularisation adds: W W^T of each convolution, and its gradient, which both factors get."""
    weights = [p for player in (objective.G, objective.E, objective.D) for p in player.parameters() if p.ndim == 4]
    return sum(3 * 2 * len(W) * W.numel() for W in weights)


def inner_steps(objective: Any, D: dict[str, int]) -> int:
    """What k inner steps add to an unrolled GAN, and G's gradient through them.

    Each inner step is a forward and a backward pass of x and x_z. G's gradient goes back through both: in each layer
    two products of the backward pass and one of the forward pass are differentiated, two factors each. The first step's
    weights are given, so that its x pass says nothing about G. Only torch's double backward of a convolution works out
    what nobody asks for: x's gradient, and in the first step the weights'.
    """
    k, both = objective.unrolling, objective.generator == "minimax"
    if k == 0:
        return (2 if both else 1) * D["F"] + D["I"]
    F, first = D["F"], D["first"]
    last = (2 * D["F"] + D["B"] + D["W"]) if both else D["F"] + D["B"]
    x_z, x = 6 * F - 2 * first, 6 * F - 4 * first
    unasked = (k - 2) * first + D["convolutions"] if D["convolutions"] else 0
    return k * (2 * D["F"] + 2 * D["W"]) + last + (4 * F - first) + (k - 1) * (x_z + x) + unasked
