"""Discriminators of codes and of pairs: shapes, and that both members of a pair are read."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from aimgan.networks import MLP, JointDiscriminator, Networks, PairDiscriminator, Residual, Table3, Table4

N, DIM = 6, 5
FAMILIES: dict[str, Networks] = {
    "mlp": MLP(shape=(2,), dim=DIM, width=8),
    "images": MLP(shape=(3, 4, 4), dim=DIM, width=8),
    "table3": Table3(dim=DIM),
    "table4, 8 x 8": Table4(shape=(3, 8, 8), dim=DIM, width=16),
    "table4, 16 x 16": Table4(shape=(1, 16, 16), dim=DIM, width=16),
    "residual": Residual(shape=(1, 8, 8), dim=DIM, width=16),
}
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def assert_reads(D: nn.Module, *inputs: Tensor) -> None:
    """Each input changes each sample's output, every layer is used, the last is linear: a logit of any sign."""
    inputs = tuple(each.requires_grad_() for each in inputs)
    raw = D(*inputs)
    assert raw.shape == (N,)
    slopes = torch.autograd.grad(raw.square().sum(), inputs, retain_graph=True)
    for slope in slopes:
        assert (slope.flatten(1).abs().sum(dim=1) > 0).all()
    used = torch.autograd.grad(raw.square().sum(), [*D.parameters()], allow_unused=True)
    assert all(gradient is not None for gradient in used)
    last = [module for module in D.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    with torch.no_grad():
        last.bias -= 100  # type: ignore[operator]
    assert (D(*inputs) < 0).all()


@every_family
def test_the_joint_discriminator_reads_image_and_code(family: Networks) -> None:
    D = family.D_xz()
    assert isinstance(D, JointDiscriminator)
    assert_reads(D, torch.rand(N, *family.shape), torch.randn(N, DIM))


@every_family
def test_the_pair_discriminator_reads_both_images(family: Networks) -> None:
    D = family.D_xx()
    assert isinstance(D, PairDiscriminator)
    assert_reads(D, torch.rand(N, *family.shape), torch.rand(N, *family.shape))


@every_family
def test_the_discriminator_of_codes(family: Networks) -> None:
    assert_reads(family.D_z(), torch.randn(N, DIM))
