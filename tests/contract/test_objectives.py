"""What every objective and the engine promise together: one suite, and an entry of OBJECTIVES gets it for its one line.

Everything is in float64, so that a wrong sign, a leak or a stale weight is far outside the tolerances.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from contract_players import (
    OF_A_WHOLE_BATCH,
    SGD,
    Cluster,
    Process,
    assert_equal,
    data,
    engine,
    every_case,
    every_family,
    every_split_case,
    last_biases_of_critics,
    make,
    parameters,
)
from torch import Tensor

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.objectives import Update
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine, players

LR = 0.05


def stream(step: int) -> Any:
    """The draws that an engine of seed 0 makes in this step."""
    return noise.stream(noise.generator(0, "noise", step))


def as_tuple(updates: Update | tuple[Update, ...]) -> tuple[Update, ...]:
    return updates if isinstance(updates, tuple) else (updates,)


def flat(algorithm: Iterator[Update | tuple[Update, ...]]) -> list[Update]:
    """All updates of a step in which nothing moves."""
    return [update for updates in algorithm for update in as_tuple(updates)]


def named(objective: Any, update: Update) -> dict[str, Tensor]:
    """The parameters that an update moves, by name."""
    ids = {id(network) for network in update.networks}
    chosen = [(name, network) for name, network in players(objective).items() if id(network) in ids]
    return {f"{name}.{key}": p for name, network in chosen for key, p in network.named_parameters()}


def step_of(objective: Any, updates: Callable[[Any, Tensor], Update | tuple[Update, ...]]) -> None:
    """Run a step that yields what `updates` makes of the objective and the batch."""
    objective.step = lambda x: iter([updates(objective, x)])
    engine(objective, SGD()).step(data("plain"), 0, LR)


def alone(k: int, whole: Callable[[Tensor], Any], _: Any, x: Tensor) -> Update:
    """The k-th update of a step, without the others."""
    return flat(whole(x))[k]


@torch.no_grad()
def assign(objective: Any, values: dict[str, Tensor]) -> None:
    for name, network in players(objective).items():
        for key, parameter in network.named_parameters():
            if not torch.equal(parameter, values[f"{name}.{key}"]):  # what stays must not look written to autograd
                parameter.copy_(values[f"{name}.{key}"])


def replayed(objective: Any, x: Tensor, step: int, moves: list[dict[str, Tensor]]) -> tuple[Any, tuple[Update, ...]]:
    """Run a fresh copy up to its next yield, its parameters set after each yield to `moves`. No updates: the end."""
    copy = deepcopy(objective)
    with stream(step):
        algorithm = iter(copy.step(x))
        for values in moves:
            next(algorithm)
            assign(copy, values)
        return copy, as_tuple(next(algorithm, ()))


def by_backward(objective: Any, x: Tensor, step: int) -> dict[str, Tensor]:
    """Return all parameters after a step of SGD: each gradient by torch's own .backward(), alone on a fresh copy."""
    moves: list[dict[str, Tensor]] = []
    values = parameters(objective)
    while count := len(replayed(objective, x, step, moves)[1]):
        moved = dict(values)
        for k in range(count):
            copy, updates = replayed(objective, x, step, moves)
            updates[k].loss.backward()
            for name, parameter in named(copy, updates[k]).items():
                assert parameter.grad is not None
                moved[name] = values[name] - LR * updates[k].rate * parameter.grad
                if updates[k].clip is not None:
                    moved[name] = moved[name].clamp(-updates[k].clip, updates[k].clip)
        values = moved
        moves.append(moved)
    return values


@every_case
@every_family
def test_each_parameter_moves_by_the_gradient_of_its_own_stated_loss(
    name: str, options: dict[str, Any], family: str
) -> None:
    objective = make(name, family, **options)
    trainer = engine(objective, SGD())
    for step in range(2):
        x = data(family, step)
        expected = by_backward(objective, x, step)
        trainer.step(x, step, LR)
        assert_equal(parameters(objective), expected, 1e-13)


@every_case
def test_simultaneous_gradients_are_those_at_the_old_parameters(name: str, options: dict[str, Any]) -> None:
    """The other order of each simultaneous tuple must give the same step: a sequential engine would not."""
    first, second = make(name, **options), make(name, **options)
    original = second.step
    second.step = lambda x: (tuple(reversed(as_tuple(updates))) for updates in original(x))
    for objective in (first, second):
        engine(objective, SGD()).step(data("plain"), 0, LR)
    assert_equal(parameters(first), parameters(second), 1e-13)


@every_case
@every_family
def test_every_player_is_moved_within_a_step(name: str, options: dict[str, Any], family: str) -> None:
    objective = make(name, family, **options)
    before = parameters(objective)
    engine(objective, SGD()).step(data(family), 0, LR)
    still = {key for key, value in parameters(objective).items() if torch.equal(value, before[key])}
    assert still <= last_biases_of_critics(name, objective)


@every_case
def test_an_update_moves_its_own_networks_and_no_other(name: str, options: dict[str, Any]) -> None:
    with stream(0):
        count = len(flat(make(name, **options).step(data("plain"))))
    for k in range(count):
        objective = make(name, **options)
        whole, before = objective.step, parameters(objective)
        with stream(0):
            chosen = named(objective, flat(whole(data("plain")))[k])
        step_of(objective, partial(alone, k, whole))
        moved = {key for key, value in parameters(objective).items() if not torch.equal(value, before[key])}
        assert moved <= {*chosen} <= moved | last_biases_of_critics(name, objective)
        assert all(p.grad is None for network in players(objective).values() for p in network.parameters())


@every_case
def test_the_log_has_each_loss_and_its_terms_detached(name: str, options: dict[str, Any]) -> None:
    objective = make(name, **options)
    whole = objective.step
    updates = replayed(objective, data("plain"), 0, [])[1]
    objective.step = lambda x: islice(whole(x), 1)
    log = engine(objective, SGD()).step(data("plain"), 0, LR)
    assert not any(value.requires_grad for value in log.values())
    assert all(value.shape == () and value.isfinite() for value in log.values())
    losses = [value for key, value in log.items() if key.startswith("loss/")]
    torch.testing.assert_close(losses, [update.loss.detach() for update in updates])
    assert len(log) == len(updates) + sum(len(update.terms) for update in updates)


# A step is a function of (seed, step) and the state.


@every_case
def test_a_step_is_a_function_of_seed_and_step(name: str, options: dict[str, Any]) -> None:
    def after(seed: int, step: int, torch_seed: int) -> dict[str, Tensor]:
        torch.manual_seed(torch_seed)
        generator_before = torch.get_rng_state()
        objective = make(name, **options)
        log = engine(objective, seed=seed).step(data("plain"), step, LR)
        assert torch.equal(torch.get_rng_state(), generator_before), "a step must not draw from torch's own generator"
        return parameters(objective) | log

    reference = after(seed=5, step=7, torch_seed=0)
    assert_equal(after(seed=5, step=7, torch_seed=1), reference)
    for other in (after(seed=5, step=8, torch_seed=0), after(seed=6, step=7, torch_seed=0)):
        assert any(not torch.equal(other[key], reference[key]) for key in reference)


@every_case
@every_family
def test_resume_is_bit_exact(name: str, options: dict[str, Any], family: str) -> None:
    def train(trainer: Engine, start: int, stop: int) -> Engine:
        for step in range(start, stop):
            trainer.step(data(family, step), step, 0.01)
        return trainer

    whole = train(engine(make(name, family, **options), ema=0.9), 0, 5)
    half = train(engine(make(name, family, **options), ema=0.9), 0, 2)
    saved = {key: value.clone() for key, value in half.state().items()}
    resumed = engine(make(name, family, seed=1, **options), ema=0.9)
    resumed.load_state(saved)
    assert_equal(resumed.state(), saved)
    assert_equal(train(resumed, 2, 5).state(), whole.state())


def test_the_state_of_another_recipe_is_refused() -> None:
    trainer = engine(make("aim"))
    saved = {key: value.clone() for key, value in trainer.state().items()}
    with pytest.raises(AimganError, match=r"checkpoint has nothing for average\.G"):
        engine(make("aim"), ema=0.9).load_state(saved)
    with pytest.raises(AimganError, match=r"checkpoint has \(3,\) of .* for G.0.weight; expected \(8, 3\)"):
        trainer.load_state(saved | {"G.0.weight": torch.zeros(3)})


# n processes equal one: each draws the global batch's codes and takes its share.


@every_split_case
@pytest.mark.parametrize("world", [2, 4])
def test_processes_in_threads_equal_one(name: str, options: dict[str, Any], world: int) -> None:
    alone = make(name, **options)
    cluster, objectives = Cluster(world), [make(name, **options) for _ in range(world)]

    def train(objective: Any, process: Process) -> None:
        trainer = Engine(objective, Adam(), process, seed=2)
        for step in range(5):
            share = data("plain", step, n=8).chunk(process.num_processes)[process.process_index]
            trainer.step(share, step, 0.01)

    threads = [threading.Thread(target=train, args=(o, Process(cluster, rank))) for rank, o in enumerate(objectives)]
    for thread in threads:
        thread.start()
    train(alone, Process())
    for thread in threads:
        thread.join()
    for objective in objectives:
        assert_equal(parameters(objective), parameters(alone), 1e-11)
    assert_equal(parameters(objectives[0]), parameters(objectives[-1]))


@pytest.mark.parametrize("name", sorted(OF_A_WHOLE_BATCH))
def test_an_objective_whose_processes_are_not_one_says_so(name: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "objectives" / f"{name}.md"
    assert "everal processes do not compute what one does" in page.read_text(encoding="utf-8")


# What an objective's author can get wrong.


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        (lambda o, x: Update((o.G, o.D), o.D(x).mean()),
         r"GAN: an update trains G\+D, but .* not depend on G\.0\.weight and 5 more"),
        (lambda o, x: Update(o.D, o.D(x).mean().detach()),
         r"GAN: an update trains D, but .* not depend on D\.features\..*weight and 5 more"),
        (lambda o, x: (Update(o.D, o.D(x).mean()), Update((o.D,), -o.D(x).mean())),
         r"simultaneous updates name \['D', 'D'\]"),
        (lambda o, x: Update(o.D.head, o.D(x).mean()), r"not one of the players: \['D', 'G'\]"),
        (lambda o, x: (Update(o.D, o.D(x).mean()), Update(o.G, o.D(x).mean())), "does not depend on"),
    ],
)  # fmt: skip
def test_a_wrong_update_is_named_and_nothing_moves(updates: Any, message: str) -> None:
    objective = make("gan")
    before = parameters(objective)
    with pytest.raises(AimganError, match=message):
        step_of(objective, updates)
    assert_equal(parameters(objective), before)


def test_frozen_parameters_of_a_player_stay() -> None:
    objective = make("gan")
    frozen = next(objective.G.parameters()).requires_grad_(False)
    before = parameters(objective)
    engine(objective, SGD()).step(data("plain"), 0, LR)
    same = [key for key, value in parameters(objective).items() if torch.equal(value, before[key])]
    assert [key for key in same if key.startswith("G.")] == ["G.0.weight"]
    assert not frozen.requires_grad
