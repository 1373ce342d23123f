"""Cards: what the Hub reads in them, what people read, and what `aimgan info` shows."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys

import pytest
import torch
from fake_run import SHAPE, made
from huggingface_hub import ModelCard
from rich.console import Console

from aimgan.cli.info import tell
from aimgan.errors import AimganError
from aimgan.sharing.hub import described, write_page

POINTS = {"width": 8}


def page(run, tmp_path, **options) -> str:
    write_page(run, "me/photos", tmp_path / "page", **options)
    return (tmp_path / "page" / "README.md").read_text()


def test_the_hub_reads_what_the_card_says(run, tmp_path):
    data = ModelCard(page(run, tmp_path, license="apache-2.0")).data
    assert (data.library_name, data.license, data.pipeline_tag) == (
        "aimgan",
        "apache-2.0",
        "unconditional-image-generation",
    )
    assert data.tags == ["aimgan", "aim", "latent-variable-model", "image-feature-extraction"]
    assert (data.model_name, data.datasets) == ("photos", None)
    results = {result.metric_type: result.metric_value for result in data.eval_results}
    assert results == {"frechet_distance": 12.5, "reconstruction_mse": 0.0325}
    assert {result.dataset_name for result in data.eval_results} == {"photos"}


def test_people_read_how_it_was_made_what_it_scores_and_what_it_is_not_for(run, tmp_path):
    text = page(run, tmp_path)
    assert "aimgan train folder/aim --data photos\n" in text
    assert "aimgan 0.1.0, torch 2.13.0." in text
    assert "Commit 0123abc." in text
    assert "| `frechet_distance` | 12.5 |  | Fréchet distance between the features" in text
    assert "Feature network: `net.pt`, 100 samples." in text
    assert "## Limits" in text
    assert "Weights can hold training images" in text
    assert "![samples](figures/samples.png)" in text
    assert "reconstructions.png" not in text
    assert "rank_histogram" not in text


def test_data_of_the_hub_are_named_as_such(run, tmp_path):
    """A relative path looks like an id: whether the data came from the Hub is recorded in training."""
    record = (run / "run.json").read_text().replace("/home/alice/photos", "ylecun/mnist")
    for hub, expected in ((True, "ylecun/mnist"), (False, "mnist"), (None, "mnist")):
        (run / "run.json").write_text(json.dumps(json.loads(record) | {"data": {"hub": hub}}))
        text = page(run, tmp_path)
        assert ModelCard(text).data.datasets == (["ylecun/mnist"] if hub else None)
        assert f"aimgan train folder/aim --data {expected}\n" in text
        assert ("[ylecun/mnist](https" if hub else "`mnist`, size 8.") in text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--data", "/home/alice smith/Secret/my photos"], "--data 'my photos'"),
        (["--data=../Secret/it's"], "'--data=it'\"'\"'s'"),
        (["--set", "data.path=/a=b/c d", "-o", "runs/x/"], "--set 'data.path=c d' -o x"),
        (["--data", "/home/alice", "--output=~alice/"], "--data '~' '--output=~'"),
        (["--data", "C:\\Users\\alice"], "--data '~'"),
        (["--data", "alice/photos"], "--data photos"),
        (" --size 8 --data /home/alice smith/Secret/my photos", "--size 8 --data ..."),  # of an earlier version
    ],
)
def test_a_command_is_quoted_and_shows_no_folder(run, words, shown):
    record = json.loads((run / "run.json").read_text())
    if isinstance(words, list):
        words = ["/home/a b/__main__.py", "train", "folder/aim", *words]
    else:
        words = f"/home/a b/aimgan train folder/aim{words}"
    (run / "run.json").write_text(json.dumps(record | {"command": words}))
    assert described(run)[0].command() == f"aimgan train folder/aim {shown}"


@pytest.mark.parametrize(("posterior", "arguments"), [("gaussian", SHAPE), (None, SHAPE), ("gaussian", POINTS)])
def test_the_code_of_a_card_runs(posterior, arguments, tmp_path):
    model = made(posterior, arguments)
    model.save(tmp_path / "model")
    text = (tmp_path / "model" / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("FOLDER", str(tmp_path / "model"))
    exec(code, {"x": torch.zeros(2, *model.shape)})
    assert ModelCard(text).data.pipeline_tag == (None if arguments is POINTS else "unconditional-image-generation")
    assert ("no encoder" in text) is (posterior is None)
    assert ("model.encode" in text) is (posterior is not None)
    assert "## Scores" not in text


def shown(source, terminal: bool) -> str:
    out = io.StringIO()
    tell(
        str(source),
        Console(file=out, force_terminal=terminal, width=100, color_system="standard" if terminal else None),
    )
    return out.getvalue()


def test_info_is_a_table_on_a_terminal_and_lines_in_a_pipe(run):
    lines = shown(run, terminal=False).splitlines()
    for line in (
        "objective: aim", "recipe: folder/aim", "x: (1, 8, 8)", "codes: 3 dimensions", "reconstruction_mse: 0.0325",
        "frechet_distance_std: 0.1", "data: photos", f"folder: {run}/model", "made with: aimgan 0.1.0, torch 2.13.0",
        f"model.safetensors: {(run / 'model' / 'model.safetensors').stat().st_size:,} bytes",
    ):  # fmt: skip
        assert line in lines
    assert not any("\x1b" in line or "Intended use" in line for line in lines)
    table = shown(run, terminal=True)
    assert "\x1b[36m" in table
    assert "mean squared error" in table


def test_info_shows_the_card_of_a_model_without_a_run(run):
    told = shown(run / "model", terminal=False)
    assert "objective: aim" in told
    assert "## Limits" in told
    assert "library_name" not in told
    assert "Limits" in shown(run / "model", terminal=True)
    (run / "model" / "README.md").write_text("a\x1b[31mb" + "c" * 30_000)
    told = shown(run / "model", terminal=False)
    assert r"a\x1b[31mbccc" in told
    assert len(told) < 25_000
    (run / "model" / "README.md").unlink()
    shown(run / "model", terminal=True)
    with pytest.raises(AimganError, match="is not a model folder"):
        shown(run / "figures", terminal=False)


THREE_LINES = """
import aimgan
model = aimgan.load("pretrained/mnist-aim")
x = model.generate(16); print(tuple(model.reconstruct(x).shape))
"""


def test_the_shipped_model_reconstructs_within_a_minute_anywhere(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", THREE_LINES], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("(16, 1, 28, 28)\n", "")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 30  # the processor's: others use it too
