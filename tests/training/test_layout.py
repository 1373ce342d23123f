"""Memory format and precision: other orders and other bits inside, the same training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from contract_players import CASES, OF_PAIRS, data, make, of_cases

from aimgan.errors import AimganError
from aimgan.networks import Table4
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.training import checkpoint
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine, players
from aimgan.training.precision import PRECISIONS, _switches, deterministic, float32_products, mixed
from aimgan.training.processes import accelerator_for

NETWORKS = Table4(shape=(3, 8, 8), dim=4, width=16)


def engine(channels_last: bool, name: str = "aim") -> Engine:
    """In float64, where another order of additions does not show."""
    objective = assemble(replace(RECIPES[f"folder/{name}"], networks=NETWORKS), 0)
    for network in (*players(objective).values(), objective.prior):
        network.double()
    return Engine(objective, Adam(), Accelerator(cpu=True), ema=0.9, channels_last=channels_last)


def train(trained: Engine, steps: range) -> None:
    for step in steps:
        source = torch.Generator().manual_seed(step)
        trained.step(torch.rand(6, 3, 8, 8, generator=source, dtype=torch.float64), step, 1e-3)


def assert_close(a: Engine, b: Engine) -> None:
    expected = b.state()
    for name, value in a.state().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-7, atol=1e-9, check_stride=False)


@pytest.mark.parametrize("name", ["aim", "alice", "unrolled-gan"])
def test_channels_last_is_the_same_training(name):
    standard, last = engine(False, name), engine(True, name)
    convolutions = [p for p in players(last.objective)["G"].parameters() if p.dim() == 4 and min(p.shape) > 1]
    assert convolutions
    train(standard, range(4))
    train(last, range(4))
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in convolutions)
    assert all(last.rule.state(p)["exp_avg"].stride() == p.stride() for p in convolutions)
    assert_close(last, standard)


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_is_read_in_either_format(tmp_path, first):
    whole, begun, resumed = engine(False), engine(first), engine(not first)
    train(whole, range(4))
    train(begun, range(2))
    checkpoint.save(tmp_path, 2, begun.state())
    saved = checkpoint.newest(tmp_path).tensors
    resumed.load_state(saved)
    assert all(torch.equal(value, saved[name]) for name, value in resumed.state().items())
    strides = {name: value.stride() for name, value in engine(not first).state().items()}
    assert strides == {name: value.stride() for name, value in resumed.state().items()}
    train(resumed, range(2, 4))
    assert_close(resumed, whole)


# --- precision ------------------------------------------------------------------------------------------------------


def now() -> list:
    return [getattr(module, name) for module, name in _switches()]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_have_their_precision_inside_and_the_old_one_after(precision):
    before, expected = now(), "tf32" if precision == "tf32" else "ieee"
    if _switches()[0][1] == "allow_tf32":
        expected = precision == "tf32"
    with float32_products(precision, "cuda:0"):
        assert now() == [expected, expected]
        with float32_products("no", torch.device("cuda")):
            pass
        assert now() == [expected, expected]
    assert now() == before
    with pytest.raises(AimganError), float32_products(precision, "cuda"):
        raise AimganError("stopped")
    assert now() == before


def test_a_cpu_has_no_such_switch():
    before = now()
    with float32_products("tf32", "cpu"):
        assert now() == before


def test_deterministic_kernels_are_asked_for_on_a_gpu_only_and_a_missing_one_is_one_line(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for wanted, device, inside in ((True, "cuda", True), (None, "cuda", False), (True, "cpu", False)):
        with deterministic(wanted, device):
            assert torch.are_deterministic_algorithms_enabled() == inside
        assert not torch.are_deterministic_algorithms_enabled()
    message = "deterministic is true, but pool_cuda does not have a deterministic implementation: leave it out"
    with pytest.raises(AimganError, match=message), deterministic(True, "cuda"):
        raise RuntimeError("pool_cuda does not have a deterministic implementation\nand so on")
    with pytest.raises(RuntimeError, match="shapes"), deterministic(True, "cuda"):
        raise RuntimeError("shapes")


@of_cases(CASES + OF_PAIRS)
def test_losses_and_terms_are_float32_under_bf16(name, options):
    objective = make(name, "batch norm", **options)
    for network in (*players(objective).values(), objective.prior):
        network.float()
    log = Engine(objective, Adam(), accelerator_for("cpu", "bf16")).step(data("batch norm").float(), 0, 1e-3)
    assert {value.dtype for value in log.values()} == {torch.float32}


def test_accelerate_hears_of_bf16_only():
    assert [mixed(precision) for precision in PRECISIONS] == ["no", "no", "bf16"]
