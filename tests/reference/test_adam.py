"""Our Adam against torch.optim.Adam, for parameters that move together, alone, and at another rate each step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from aimgan.training.adam import MOMENTS, Adam


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


@pytest.mark.parametrize("betas", [(0.5, 0.999), (0.9, 0.99)])
def test_it_moves_as_torchs_adam_does(betas: tuple[float, float]) -> None:
    ours, theirs = network(), network()
    rule, optimizer = Adam(*betas), torch.optim.Adam(theirs.parameters(), betas=betas)
    for step in range(20):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        lr = 0.01 / (step + 1)
        gradients = torch.autograd.grad(ours(x).square().mean(), list(ours.parameters()))
        rule.move(list(ours.parameters()), gradients, lr)
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        theirs(x).square().mean().backward()
        optimizer.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(rule.state(mine)["exp_avg"], optimizer.state[other]["exp_avg"])
        torch.testing.assert_close(rule.state(mine)["exp_avg_sq"], optimizer.state[other]["exp_avg_sq"])
        assert rule.state(mine)["step"] == 20


def test_how_parameters_are_grouped_changes_nothing() -> None:
    together, apart = list(network().parameters()), list(network().parameters())
    one, other = Adam(), Adam()
    for step in range(3):
        gradients: list[Tensor] = [torch.full_like(p, step + 1.0) for p in together]
        one.move(together, gradients, 0.01)
        for parameter, gradient in zip(apart, gradients, strict=True):
            other.move([parameter], [gradient], 0.01)
    assert all(torch.equal(a, b) for a, b in zip(together, apart, strict=True))


def test_the_state_is_made_when_first_asked_for_and_is_the_tensors_themselves() -> None:
    parameter, rule = nn.Parameter(torch.ones(3)), Adam()
    state = rule.state(parameter)
    assert tuple(state) == MOMENTS
    assert not any(value.any() for value in state.values())
    rule.move([parameter], [torch.ones(3)], 0.1)
    assert state["step"] == 1
    torch.testing.assert_close(parameter.detach(), torch.full((3,), 0.9))  # the first step is lr in each direction
