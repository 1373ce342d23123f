"""What processes agree on: alone nothing is sent, two threads over gloo stand for two processes."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import distributed, nn

import aimgan
from aimgan.errors import AimganError, Interrupted
from aimgan.networks.batch_norm import batch_norms
from aimgan.recipes import assemble, resolving
from aimgan.recipes.resolving import prepared
from aimgan.runs import train as training
from aimgan.signals import interrupt, on_signal
from aimgan.training.engine import players
from aimgan.training.loop import Loop
from aimgan.training.processes import GO_ON, SAVE, STOP, Processes, accelerator_for, ends_of_others


def test_one_process_sends_nothing():
    alone, tensors = Processes(), {"a": torch.arange(3.0)}
    assert alone.first
    assert [alone.agreed(wish) for wish in (GO_ON, SAVE, STOP)] == [GO_ON, SAVE, STOP]
    assert alone.tensors(tensors)["a"].equal(tensors["a"])
    assert alone.mean(tensors["a"]).equal(tensors["a"])
    assert alone.share(7, 7) == 7
    alone.wait()
    alone.compare(tensors, "now")


@pytest.fixture
def in_two(monkeypatch) -> Callable[[Callable[[Processes], Any]], list[Any]]:
    """Run a function as each of two processes that talk over gloo, in threads, and return what both returned."""

    def run(function: Callable[[Processes], Any]) -> list[Any]:
        answers: list[Any] = [None, None]
        store = distributed.HashStore()  # a fresh one each time: in an old one are the addresses of an ended group

        def one(rank: int) -> None:
            try:
                group = distributed.ProcessGroupGloo(store, rank, 2, timedelta(seconds=30))
                answers[rank] = function(Processes(rank, 2, group))
            except AimganError as error:
                answers[rank] = str(error)

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return answers

    def all_reduce(tensor, op=distributed.ReduceOp.SUM, group=None, async_op=False):
        options = distributed.AllreduceOptions()
        options.reduceOp = op
        work = group.allreduce([tensor], options)
        return work if async_op else work.wait()

    def all_gather_object(found, own, group):
        for rank in range(2):
            box = [own]
            broadcast_object_list(box, rank, group)
            found[rank] = box[0]

    def broadcast_object_list(box, root, group):
        data = torch.frombuffer(bytearray(pickle.dumps(box[0])), dtype=torch.uint8)
        size = torch.tensor(len(data))
        group.broadcast(size, root).wait()
        data = data if group.rank() == root else torch.empty(int(size), dtype=torch.uint8)
        group.broadcast(data, root).wait()
        box[0] = pickle.loads(bytes(data.tolist()))

    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(distributed, "all_gather_object", all_gather_object)
    monkeypatch.setattr(distributed, "broadcast_object_list", broadcast_object_list)
    monkeypatch.setattr(distributed, "barrier", lambda group, async_op: group.barrier())
    return run


def test_all_do_what_the_largest_wish_was_a_step_later_and_once(in_two):
    def asked(processes: Processes) -> list[int]:
        wishes = {0: [GO_ON, SAVE, SAVE, GO_ON, GO_ON, GO_ON], 1: [GO_ON, GO_ON, GO_ON, GO_ON, STOP, STOP]}
        answers = [processes.agreed(wish) for wish in wishes[processes.rank]]
        processes.wait()
        return answers

    assert in_two(asked) == [[GO_ON, GO_ON, SAVE, GO_ON, GO_ON, STOP]] * 2


def test_tensors_of_every_kind_are_those_of_the_first(in_two):
    kept = {
        "a": torch.randn(2, 3).to(torch.bfloat16), "b": torch.tensor(7), "c": torch.zeros(0, 4),
        "d": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), "e": torch.tensor([True, False]),
    }  # fmt: skip
    for got in in_two(lambda processes: processes.tensors(kept if processes.first else {})):
        assert got.keys() == kept.keys()
        assert all(got[name].equal(value) and got[name].dtype == value.dtype for name, value in kept.items())
    assert in_two(lambda processes: float(processes.mean(torch.tensor(float(processes.rank))))) == [0.5, 0.5]


def test_what_differs_is_named_with_its_values(in_two):
    told = in_two(lambda processes: processes.require_same({"same": 1, "seed": processes.rank, "steps": None}))
    assert told[0] == told[1]
    assert told[0].startswith("processes of this launch differ in seed: 0 in process 0, 1 in process 1; start all with")


def test_one_bit_of_difference_is_found_and_named(in_two):
    def compared(processes: Processes) -> None:
        same, other = torch.ones(5), torch.ones(2, 2)
        other[1, 1] += processes.rank * torch.finfo(torch.float32).eps
        processes.compare({"G.same": same, "D.other": other}, "after step 3")

    for told in in_two(compared):
        assert told.startswith("2 processes have different D.other after step 3; expected equal bits")


@pytest.mark.parametrize(
    ("batch_size", "world", "images", "remedy"),
    [
        (100, 3, 1_000, "--set batch_size=99, or another number of processes"),
        (7, 2, 7, "--set batch_size=6, or"),  # 8 would be a batch of 7 again
        (4, 4, 1_000, "--set batch_size=8, or"),
        (5, 4, 7, "there are 7 images: start at most 3 of them"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused_with_what_works(batch_size, world, images, remedy):
    with pytest.raises(AimganError, match=rf"batch_size is {batch_size}, but {world} processes share it; .* {remedy}"):
        Processes(0, world).share(batch_size, images)


def test_a_part_of_the_batch_has_two_images_or_more():
    assert Processes(1, 4).share(256, 1_000) == 64
    assert Processes(1, 4).share(8, 8) == 2


def test_only_a_lost_connection_is_another_process_end():
    with pytest.raises(AimganError, match="another process of this launch has ended"), ends_of_others(2):
        raise RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    for world, text in ((1, "gloo"), (2, "shapes differ")):
        with pytest.raises(RuntimeError, match=text), ends_of_others(world):
            raise RuntimeError(text)


def test_a_second_precision_in_one_python_process_is_no_error():
    for precision in ("no", "bf16", "no"):
        assert accelerator_for("cpu", precision).mixed_precision == precision
    first = accelerator_for("cpu")
    assert accelerator_for("cpu").state.__dict__ is first.state.__dict__


@pytest.mark.usefixtures("quick")
def test_a_signal_while_a_run_is_finished_is_a_stop_like_any(tmp_path, monkeypatch):
    arguments = {"steps": 4, "device": "cpu"}
    with monkeypatch.context() as patch:
        patch.setattr(training, "finish", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match="stopped after step 4 of 4, before the run's evaluation was written"):
            aimgan.train("grid/aim", tmp_path, **arguments)
    assert not (tmp_path / "evaluation.json").exists()
    monkeypatch.setattr(Loop, "train", lambda self, start: None if start == 4 else pytest.fail("trained again"))
    aimgan.train("grid/aim", tmp_path, **arguments)
    assert (tmp_path / "evaluation.json").exists()


def test_signals_go_back_to_whoever_had_them():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="now"), on_signal(interrupt("now")):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


class Two(Accelerator):
    """What batch norm asks of an Accelerator, without its global state."""

    def __init__(self, device: str) -> None:
        self.of = torch.device(device)

    num_processes = property(lambda self: 2)
    device = property(lambda self: self.of)


def test_batch_norm_is_of_the_whole_batch_on_gpus_and_each_process_own_on_a_cpu():
    recipe = resolving.fitted(prepared("mnist/aim", settings={"networks.width": 16}), _Shape())
    objective = assemble.assemble(recipe, 0)
    names = {name: list(network.state_dict()) for name, network in players(objective).items()}
    assert assemble.synchronise_batch_norm(objective, Two("cpu"))
    assert not any(_synchronised(objective))
    assert not assemble.synchronise_batch_norm(objective, Two("cuda"))
    assert all(_synchronised(objective))
    assert any(_synchronised(objective))
    assert names == {name: list(network.state_dict()) for name, network in players(objective).items()}


class _Shape:
    shape, epoch_size = (1, 28, 28), 1_000


def _synchronised(objective: Any) -> list[bool]:
    layers = [layer for network in players(objective).values() for layer in batch_norms(network)]
    return [isinstance(layer, nn.SyncBatchNorm) for layer in layers]
