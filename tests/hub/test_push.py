"""Push and load over real HTTP, against a Hub on this machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from fake_run import made

import aimgan
from aimgan import AimganError
from aimgan.sharing.hub import described, push, write_page

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")  # of huggingface_hub's httpx2
OWN = {"README.md", "config.json", "model.safetensors", ".gitattributes"}
SAFE = {"figures/curves.png", "figures/samples.png"}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_what_is_pushed_is_loaded_with_the_same_bytes_and_gives_the_same_samples(hub, run):
    pushed = push(run, "me/photos")
    files = hub.files("me/photos")
    assert files.keys() == OWN | SAFE
    for name in ("config.json", "model.safetensors"):
        assert files[name] == (run / "model" / name).read_bytes()
    assert len(hub.repos["me/photos"].commits) == 2  # the Hub's own, and one
    loaded, model = aimgan.load("me/photos"), aimgan.load(run)
    assert torch.equal(loaded.generate(5, seeded()), model.generate(5, seeded()))
    x = model.generate(3, seeded())
    assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))
    assert pushed.files == {name: len(content) for name, content in files.items() if name != ".gitattributes"}
    assert pushed.lines()[-1].startswith(f"pushed to {pushed.where}: 5 files, ")
    assert pushed.where.endswith("/me/photos")
    files["pickle.pt"] = b"never asked for"
    aimgan.load("me/photos")
    assert {request.rpartition("/")[2] for request in hub.asked if "/resolve/" in request} == OWN - {".gitattributes"}


def test_figures_with_images_of_the_data_go_along_only_when_asked_for_and_leave_again(hub, run):
    pushed = push(run, "me/photos")
    assert pushed.left_out == ("figures/neighbours.png", "figures/reconstructions.png")
    assert "left out figures/neighbours.png, which shows images of the data: --figures includes it" in pushed.lines()
    (run / "figures" / "new.png").write_bytes(b"\x89PNG\r\n\x1a\n, of a later version: it may show anything")
    assert push(run, "me/photos").left_out[1:] == ("figures/new.png", "figures/reconstructions.png")
    assert push(run, "me/photos", figures=True).left_out == ()
    assert len(hub.files("me/photos").keys() - OWN) == 5
    push(run, "me/photos")
    assert hub.files("me/photos").keys() == OWN | SAFE


def test_a_card_and_figures_of_the_user_on_the_hub_stay(hub, run):
    def commit(name: str, content: bytes) -> None:
        hub.repos["me/photos"].commit("main", {**hub.files("me/photos"), name: content})

    push(run, "me/photos")
    commit("figures/mine.png", b"mine")
    push(run, "me/photos")
    assert hub.files("me/photos")["figures/mine.png"] == b"mine"
    commit("README.md", b"---\nlicense: mit\n---\nMy measurements.")
    refused("me/photos has a README.md that aimgan has not written", lambda: push(run, "me/photos"))
    commit("README.md", b"---\nlicense: mit\n---\n")
    push(run, "me/photos")


def test_nothing_of_the_machine_is_sent(hub, run):
    push(run, "me/photos", figures=True)
    sent = b"".join(hub.files("me/photos").values())
    for word in ("alice", "/home", str(run), str(Path.home())):
        assert word.encode() not in sent


def test_private_means_private(hub, run):
    push(run, "me/mine", private=True)
    assert hub.repos["me/mine"].private
    push(run, "me/mine", private=True)
    push(run, "me/open")
    before = hub.repos["me/open"].branches["main"]
    with pytest.raises(AimganError, match=r"^me/open is public: make it private in its settings on the Hub, or choose"):
        push(run, "me/open", private=True)
    assert hub.repos["me/open"].branches["main"] == before


def test_a_revision_is_a_branch_of_its_own(hub, run, tmp_path):
    push(run, "me/photos")
    torch.manual_seed(5)
    other = made(posterior=None)
    other.save(tmp_path / "gan")
    assert push(tmp_path / "gan", "me/photos", revision="v2").where.endswith("/me/photos/tree/v2")
    push(tmp_path / "gan", "me/photos", revision="v2")
    assert [aimgan.load(f"me/photos{name}").config.objective for name in ("", "@main", "@v2")] == ["aim", "aim", "gan"]
    assert hub.files("me/photos", "v2").keys() == OWN  # the branch began with main's figures
    commit = hub.repos["me/photos"].branches["v2"]
    assert aimgan.load(f"me/photos@{commit}").config.objective == "gan"
    with pytest.raises(AimganError, match="the Hub has no model me/photos@v3 that you may read"):
        aimgan.load("me/photos@v3")


def test_a_dry_run_writes_what_would_be_sent_and_sends_nothing(hub, run, tmp_path):
    written = write_page(run, "me/photos", tmp_path / "page")
    assert hub.asked == []
    assert written.lines()[-1].startswith(f"wrote what would be pushed to {tmp_path}/page: 5 files")
    write_page(run, "me/photos", tmp_path / "page")
    assert aimgan.load(tmp_path / "page").config == aimgan.load(run).config
    push(run, "me/photos")
    there = hub.files("me/photos")
    for name in written.files:
        assert (tmp_path / "page" / name).read_bytes() == there[name]
    with pytest.raises(
        AimganError, match=r"contains evaluation\.json, which is not a file of a dry run: choose another folder"
    ):
        write_page(run, "me/photos", run)
    with pytest.raises(AimganError, match="model is the model itself: choose another folder"):
        write_page(run, "me/photos", run / "model")
    with pytest.raises(AimganError, match="cannot write /proc/page"):
        write_page(run, "me/photos", Path("/proc/page"))


NAMES = {
    "photos": "'photos' names no owner; expected owner/name, such as your-name/photos",
    "me/../x": "is not a name on the Hub",
    "me/a b": "is not a name on the Hub",
    "": "is not a name on the Hub",
    "me/" + "x" * 200: "is not a name on the Hub",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none(hub, run, name):
    refused(NAMES[name], lambda: push(run, name))
    assert hub.asked == []


def refused(message: str, call) -> None:
    with pytest.raises(AimganError) as told:
        call()
    assert message in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 600


FAILURES = {  # of an endpoint, and what is said
    "POST /api/repos/create": (500, "the Hub failed (500); try again in some minutes [told to fail with 500]"),
    "POST .*/preupload/": (503, "the Hub failed (503); try again in some minutes"),
    "POST .*/lfs/": (429, "the Hub has had too many requests from here (429)"),
    "PUT /blobs/": (403, "this token may not write there (403); take one that may write, or another owner than me"),
    "POST .*/commit/": (413, "the Hub says 413"),
}


def test_a_licence_that_the_hub_does_not_know(hub, run):
    message = "nothing was pushed to me/photos: ValueError: Invalid metadata in README.md. - no such license"
    refused(message, lambda: push(run, "me/photos", license="mine"))


@pytest.mark.parametrize("where", FAILURES)
def test_a_hub_that_fails_is_one_line_and_changes_nothing(hub, run, where):
    status, message = FAILURES[where]
    hub.fails[where] = status
    refused(f"nothing was pushed to me/photos: {message}", lambda: push(run, "me/photos"))
    assert all(repo.branches.keys() == {"main"} and len(repo.commits) == 1 for repo in hub.repos.values())


def test_tokens(hub, run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    refused("this token may not write there (403); take one that may write", lambda: push(run, "me/photos"))
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    refused("the Hub does not know this token (401); run `hf auth login`", lambda: push(run, "me/photos"))
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    refused("another owner than you", lambda: push(run, "you/photos"))
    monkeypatch.delenv("HF_TOKEN")
    asked = len(hub.asked)
    refused("there is no token for the Hub: run `hf auth login`, or set HF_TOKEN", lambda: push(run, "me/photos"))
    assert len(hub.asked) == asked
    assert hub.repos == {}


def test_no_network(hub, run, monkeypatch):
    push(run, "me/photos")
    aimgan.load("me/photos")
    hub.stop()
    assert aimgan.load("me/photos").config.objective == "aim"  # from the cache
    refused("the Hub cannot be reached (ConnectError", lambda: push(run, "me/photos"))
    refused("no folder me/other here, and the Hub has no model me/other within reach", lambda: aimgan.load("me/other"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused("the Hub cannot be reached (OfflineModeIsEnabled", lambda: push(run, "me/photos"))


def test_a_private_or_a_missing_model_is_not_read(hub, run, monkeypatch):
    push(run, "me/mine", private=True)
    monkeypatch.delenv("HF_TOKEN")
    for name in ("me/mine", "me/typo"):
        message = f"no folder {name} here, and the Hub has no model {name} that you may read"
        refused(message, partial(aimgan.load, name))
    hub.fails["GET /api/models/"] = 500
    refused("has no model me/typo within reach: check the name and the network", lambda: aimgan.load("me/typo"))


def test_what_is_on_the_hub_is_checked_as_any_folder_is(hub, run):
    push(run, "me/photos")
    hub.files("me/photos")["model.safetensors"] = b"torn"
    refused("is not a complete model (SafetensorError", lambda: aimgan.load("me/photos"))


def test_a_model_without_a_run_has_a_card_without_one(run):
    card, folder = described(run / "model")
    assert (folder, card.record, card.scores) == (run / "model", {}, {})
    (run / "evaluation.json").write_text("{")
    with pytest.raises(AimganError, match=r"evaluation\.json cannot be read .*: evaluate the run again"):
        described(run)
