"""Alarms: each is raised by its failure, on every objective where it has a meaning, and by no sound run."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from provoked import PROVOKED, Case, trained
from rich.console import Console

import aimgan
from aimgan import console, noise
from aimgan.errors import Interrupted
from aimgan.evaluation.collapse import collapse_signs
from aimgan.networks import MLP
from aimgan.objectives import OBJECTIVES
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble, config_of, model_of
from aimgan.training.adam import Adam
from aimgan.training.alarms import ALARMS, BEGINNING, GROWTH, PAGE, ROWS, SCORES, Watch
from aimgan.training.engine import Engine
from aimgan.training.loop import Loop
from aimgan.training.run_dir import RunDir

ROOT = Path(__file__).resolve().parents[2]

SOUND = {"loss/D": 1.3, "D/real": 0.6, "D/fake": 0.7, "loss/G+E": 1.2, "G+E/adversarial": 0.8, "G+E/nll": -2.0}


def losses(step: int, **changed: float) -> dict:
    """A log row of a sound run, whose terms move by a hundredth from row to row."""
    moved = {name: value * (1 + 0.01 * (step % 7)) for name, value in SOUND.items()}
    return {"step": step, "lr": 1e-3, **moved, **{name.replace("__", "/"): value for name, value in changed.items()}}


def heard(rows: list[dict]) -> list[str]:
    watch = Watch()
    return [line for row in rows for line in watch.see(row)]


# --- each alarm, by its rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wrong", "nearly"),
    [
        ("discriminator-saturated", {"D__real": 0.009, "D__fake": 0.0}, {"D__real": 0.02, "D__fake": 0.0}),
        ("discriminator-saturated", {"D__real": 0.0, "D__fake": 0.0, "D__penalty": 3.0}, {"D__real": -1, "D__fake": 0}),
        ("generator-dead", {"G+E__adversarial": 0.6931}, {}),
        ("losses-growing", {"loss__G+E": -1e4}, {"loss__G+E": 999.0}),
    ],
)
def test_a_loss_alarm_begins_after_its_rows_and_ends_with_the_first_sound_one(name, wrong, nearly):
    before, after = [losses(step) for step in range(10)], [losses(step) for step in range(20, 30)]
    failing = [losses(step, **wrong) for step in range(10, 20)]
    begun, over = heard([*before, *failing, *after])
    assert begun == f"{name} at step {10 + ROWS - 1}: {ALARMS[name][1]}; see {PAGE}#{name}"
    assert over == f"{name} is over at step 20"
    assert heard([*before, *failing[: ROWS - 1], *after]) == []
    assert heard([*before, *(losses(step, **nearly) for step in range(10, 20))]) == []


@pytest.mark.parametrize(
    ("name", "key", "sound", "wrong"),
    [
        ("generator-dead", "generated_spread", 0.018, 0.001),
        ("output-saturated", "generated_saturated", 0.5, 0.99),
        ("posterior-collapse", "codes_at_prior", 0.5, 1.0),
        ("variance-at-floor", "variance_at_floor", 0.4, 1.0),
        ("variance-at-ceiling", "variance_at_ceiling", 0.4, 1.0),
        ("worse-than-mean-image", "error_over_mean_image", 0.9, 1.2),
        ("mode-kl-rising", "mode_kl", 0.1, 0.7),
    ],
)
def test_an_evaluations_alarm_needs_two_of_them_and_stands_till_the_next(name, key, sound, wrong):
    evaluated = [{"step": 1, key: value} for value in (sound, sound, wrong)]
    young = [losses(step) for step in range(BEGINNING - 1)]
    assert heard([*young, *evaluated, {"step": 2, key: wrong}]) == []  # it may be untrained
    watch = Watch([*young, losses(0), *evaluated])
    assert watch.standing == []
    assert watch.see({"step": 2, key: wrong})
    assert watch.see(losses(3)) == []
    assert watch.standing == [name]
    assert watch.see({"step": 4, key: sound}) == [f"{name} is over at step 4"]
    assert watch.standing == []
    assert SCORES == 2


def test_growth_is_measured_from_the_smallest_size_and_a_large_start_is_none():
    assert heard([losses(step, **{"loss__G+E": 9e4 / (step + 1)}) for step in range(50)]) == []
    wild = [losses(step, **{"loss__G+E": 30.0 if step < 9 else 31.0 * GROWTH}) for step in range(9 + ROWS)]
    assert [line.split()[0] for line in heard(wild)] == ["losses-growing"]


def test_a_value_function_without_a_least_value_is_not_called_saturated():
    """Equation 6 (`value=f-gan`) has the terms -1 and 1 where D can tell nothing."""
    assert heard([losses(step, D__real=-1.0, D__fake=1.0 + step / 100, loss__D=step / 100) for step in range(9)]) == []


# --- every objective ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_losses_of_every_objective_are_read(objective):
    recipe = replace(RECIPES[f"grid/{objective}"], networks=MLP(width=8))
    engine = Engine(assemble(recipe, 0), Adam(), Accelerator(cpu=True))
    data = recipe.data.load()
    rows = []
    for step in range(3 * ROWS):
        log = engine.step(data.batch(0, step, 64), step, 1e-3)
        rows.append({"step": step, "lr": 1e-3, **{name: value.item() for name, value in log.items()}})
    assert heard(rows) == []

    certain = [row | {name: 1e-3 for name in row if re.match(r"(loss/)?D", name)} for row in rows]
    assert raised(certain) == ({"discriminator-saturated"} if any("D" in name for name in rows[0]) else set())
    games = ("adversarial", "of G", "ratio", "symmetric kl")
    fixed = {name: 0.7 for name in rows[0] if name.startswith("G") and name.split("/")[1] in games}
    assert raised([row | fixed for row in rows]) == ({"generator-dead"} if fixed else set())
    assert bool(fixed) == (objective not in ("vae", "aae", "avb", "age"))  # no game, or no term


def raised(rows: list[dict]) -> set[str]:
    return {line.split()[0] for line in heard(rows)}


# --- provoked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PROVOKED, ids=lambda case: f"{case.alarm} {case.recipe}")
def test_a_provoked_failure_raises_its_alarm(case, tmp_path):
    rows, _ = trained(case, tmp_path)
    assert case.alarm in {name for row in rows for name in row.get("alarms", [])}


def test_each_alarm_is_provoked_and_has_its_heading():
    assert {case.alarm for case in PROVOKED} == {*ALARMS}
    headings = re.findall(r"^#+ (\S+)$", (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(ALARMS) <= set(headings)


@pytest.mark.parametrize("recipe", ["grid/aim", "ring/aim", "digits/aim"])
def test_a_sound_run_raises_none(recipe, tmp_path):
    case = Case(recipe, settings={"networks.width": 64}, steps=200)
    rows, error = trained(case, tmp_path)
    assert error == ""
    assert len(rows) == 48
    raised = {name for row in rows for name in row.get("alarms", [])}
    assert raised <= {"worse-than-mean-image"}  # 200 steps are too few for good reconstructions


# --- the signs ----------------------------------------------------------------------------------------------------


def small_engine(recipe: str = "grid/aim") -> Engine:
    return Engine(assemble(replace(RECIPES[recipe], networks=MLP(width=8)), 0), Adam(), Accelerator(cpu=True))


def signs_of(engine: Engine, recipe: str = "grid/aim") -> dict:
    model = model_of(engine, config_of(replace(RECIPES[recipe], networks=MLP(width=8)), {}))
    return collapse_signs(model, RECIPES[recipe].data.load(), 0)


def test_signs_are_those_of_the_networks():
    engine = small_engine()
    G, E = engine.networks["G"], engine.networks["E"]
    head = E[-1]
    with torch.no_grad():
        G[-1].weight.zero_()
        head.mean.weight.zero_()
        head.log_variance.weight.zero_()
        head.log_variance.bias.copy_(torch.tensor([6.0, -21.0]))
    assert signs_of(engine) == {
        "generated_spread": 0.0, "codes_at_prior": 0.0, "posterior_log_variance": -7.5, "variance_at_floor": 0.5,
        "variance_at_ceiling": 0.5, "modes": 0, "mode_kl": pytest.approx(3.2189, abs=1e-3),
    }  # fmt: skip
    assert signs_of(small_engine("grid/gan"), "grid/gan").keys() == {"generated_spread", "modes", "mode_kl"}
    assert signs_of(small_engine("grid/bigan"), "grid/bigan").keys() == {"generated_spread", "modes", "mode_kl"}
    with torch.no_grad():
        head.log_variance.bias.copy_(torch.tensor([0.0, -0.2]))
    assert signs_of(engine)["codes_at_prior"] == 0.5


def test_signs_take_no_draw_and_move_no_weight():
    engine = small_engine()
    before = {name: value.clone() for name, value in engine.state().items()}
    torch.manual_seed(5)
    first = signs_of(engine)
    assert torch.equal(torch.randn(3), torch.randn(3, generator=torch.Generator().manual_seed(5)))
    assert signs_of(engine) == first
    assert all(torch.equal(value, before[name]) for name, value in engine.state().items())


# --- a run --------------------------------------------------------------------------------------------------------


def failing(folder: Path, **given) -> tuple[Loop, list[str]]:
    """A loop whose discriminator is sure from step 8 on."""
    engine, told = small_engine("grid/gan"), []
    step = engine.step

    def sure(x, k, lr):
        log = step(x, k, lr)
        return log | {name: torch.tensor(1e-3 + k * 1e-5) for name in ("D/real", "D/fake")} if 8 <= k < 24 else log

    engine.step = sure
    run = RunDir(folder)
    run.begin({"steps": 30})
    data = RECIPES["grid/gan"].data.load()
    loop = Loop(engine, lambda k: data.batch(0, k, 16), lambda k: 1e-3, 30, run, log_every=1, **given)
    loop.warn = told.append
    return loop, told


def test_rows_and_warnings_of_a_resumed_run_are_those_of_the_whole_one(tmp_path):
    whole, told = failing(tmp_path / "whole")
    whole.train()
    at = [row["step"] for row in whole.run.rows() if row.get("alarms") == ["discriminator-saturated"]]
    assert at == list(range(13, 25))
    assert [line.split(":")[0] for line in told] == [
        "discriminator-saturated at step 13", "discriminator-saturated is over at step 25"]  # fmt: skip

    again = []
    for stop in (11, 13, 20, 30):  # before it begins, as it begins, while it stands

        def interrupt(k: int, row: object, stop: int = stop) -> None:
            if k == stop < 30:
                os.kill(os.getpid(), signal.SIGTERM)

        loop, lines = failing(tmp_path / "stopped", progress=interrupt)
        try:
            loop.train(loop.resume())
        except Interrupted:
            assert stop < 30
        again += lines
    assert again == told
    assert [speedless(row) for row in loop.run.rows()] == [speedless(row) for row in whole.run.rows()]


def speedless(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "steps_per_second"}


def test_a_command_shows_the_alarm(tmp_path, monkeypatch):
    monkeypatch.setattr("aimgan.runs.train.finish", lambda model, data, run, *rest: model.save(run.model))
    screen = Console(record=True, width=200, quiet=False, file=open(os.devnull, "w"))  # noqa: SIM115
    with screen.file:
        settings = {"lr": 0.2, "networks.width": 16, "evaluate_every": 0.05}
        aimgan.train("grid/gan", tmp_path, steps=100, device="cpu", settings=settings, console=screen)
        text = screen.export_text()
    assert re.search(r"^warning: generator-dead at step \d+: G's samples do not .*; see docs/\S+$", text, re.MULTILINE)
    assert text.count("warning: generator-dead") == 1
    assert re.search(r"^step +\d+ of 100 .* steps/s  ! generator-dead", text, re.MULTILINE)


def test_the_progress_line_is_as_it_was_without_alarms():
    row = losses(5) | {"steps_per_second": 10.0}
    assert "!" not in console.summary(row)
    assert console.summary(row | {"alarms": ["generator-dead", "losses-growing"]}).endswith(
        "10.0 steps/s  ! generator-dead, losses-growing"
    )


def test_draws_of_signs_are_no_others():
    labels = ("signs", "signs of modes", "evaluate", "calibration", "codes")
    assert len({noise.mix(0, label) for label in labels}) == len(labels)
