"""Models by name: a run, the folder of a saved model, or an id of the Hugging Face Hub (docs/sharing.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from aimgan._version import __version__
from aimgan.checked import HUB_ID, regular, shown
from aimgan.errors import AimganError, plain
from aimgan.files import copy_file, recover, replacing_folder, require_own, unreadable, unwritable, write_text
from aimgan.model import CARD, CONFIG, MARKS, WEIGHTS, LatentVariableModel
from aimgan.sharing.folder import load_folder, scores_of

if TYPE_CHECKING:
    from aimgan.card import Card

SHIPPED = "pretrained"  # names of models that come with aimgan begin with this
HOMES = (Path(__file__).parents[1], Path(__file__).parents[3])  # they are in the package; in a checkout beside src
FIGURES = "figures"
HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # of a card; the Hub's website makes cards of a header only
WITHOUT_DATA = ("curves", "figure3", "samples")  # the figures that show no real images
REFUSALS = {  # HTTP statuses with which the Hub refuses a push
    401: "the Hub does not know this token (401); run `hf auth login`, or set HF_TOKEN to one that may write",
    403: "this token may not write there (403); take one that may write, or another owner than {owner}",
    404: "the Hub has no such owner, repository or branch (404); check the name",
    429: "the Hub has had too many requests from here (429); try again in some minutes",
}


def load(source: str | Path, device: str = "cpu", networks: Any = None) -> LatentVariableModel:
    """Load a model from a run folder, the folder of a saved model or a Hub id, ready to infer.

    A Hub id is "owner/name" or "owner/name@revision", with a branch, a tag or a commit as revision.
    "pretrained/mnist-aim" comes with aimgan. Nothing is ever unpickled. A model of networks of your own (`aimgan.fit`)
    needs them again as `networks`: the module or the dictionary that has G, D and E; a file never names what is
    imported. Raises AimganError where there is no model, or
    where it is damaged.
    """
    return load_folder(find(source), device, networks)


def find(source: str | Path) -> Path:
    """Return the folder that holds the model of a run, a folder or a Hub id, which is downloaded if necessary.

    Raises AimganError where there is none.
    """
    try:
        found = _local(Path(source))
    except PermissionError as reason:
        raise unreadable(source, reason) from None
    except (OSError, ValueError, TypeError, RuntimeError) as reason:  # too long, a null character, a loop of links
        raise AimganError(f"{shown(source)} cannot be a model's folder ({reason}): check the path") from None
    if found is not None:
        return found
    if Path(source, "run.json").exists():
        raise AimganError(f"{source} is a run that has no model yet: repeat its training command to finish it")
    if Path(source).exists() or not HUB_ID.fullmatch(str(source)):
        raise AimganError(
            f"{source} is not a model folder ({CONFIG} and {WEIGHTS} expected): train one, or check the path"
        )
    return _download(str(source))


def _local(folder: Path) -> Path | None:
    """Return the folder with the model of a run, of a saved model, or of a model that comes with aimgan."""
    for candidate in (folder / "model", folder):
        recover(candidate)
        if _is_there(candidate / CONFIG):
            return candidate
    if len(folder.parts) == 2 and folder.parts[0] == SHIPPED:
        for home in HOMES:
            if (home / folder / CONFIG).exists():
                return home / folder
    return None


def _is_there(path: Path) -> bool:
    """Return whether a path exists. Raises OSError where that cannot be known, for which Path.exists returns False."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _download(source: str) -> Path:
    from huggingface_hub import snapshot_download

    repo, _, revision = source.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=[CONFIG, WEIGHTS, CARD]))
    except Exception as reason:  # huggingface_hub raises a dozen types of errors
        there = "that you may read" if _status(reason) in (401, 403, 404) else "within reach"
        raise AimganError(
            f"no folder {source} here, and the Hub has no model {source} {there}: check the name and the network, or "
            f"log in (hf auth login) for a private one ({type(reason).__name__})"
        ) from None


def described(source: str | Path) -> tuple[Card, Path]:
    """Return the card of a model, with what its run has recorded, and the folder that holds the model.

    Raises AimganError as `load` does, and for an evaluation.json that cannot be read.
    """
    from aimgan.training.run_dir import RunDir

    folder = find(source)
    run = RunDir(source)
    card = load_folder(folder).card()
    return replace(card, source=str(source), record=run.read() or {}, scores=scores_of(source)), folder


@dataclass(frozen=True)
class Pushed:
    """The files that were pushed (or only written), with their sizes in bytes; the figures left out; and the place."""

    files: Mapping[str, int]
    left_out: tuple[str, ...]
    where: str
    action: str = "wrote what would be pushed to"

    def lines(self) -> list[str]:
        """Return what the command line prints."""
        lines = [f"{name}  {size:,} bytes" for name, size in self.files.items()]
        for name in self.left_out:
            lines.append(f"left out {name}, which shows images of the data: --figures includes it")
        size = sum(self.files.values()) / 2**20
        lines.append(f"{self.action} {self.where}: {len(self.files)} files, {size:.1f} MiB")
        return [plain(line) for line in lines]


def push(
    source: str | Path, repo: str, *, private: bool = False, revision: str | None = None, figures: bool = False,
    license: str | None = None,
) -> Pushed:  # fmt: skip
    """Upload a model with its card to the repository "owner/name" of the Hub, which is created if necessary.

    One commit holds config.json, model.safetensors, README.md and the figures of the run. Without `figures` only those
    are sent that show no real images. `revision` is a branch, created if necessary. `license` is the license of the
    weights, by its name on the Hub.

    Raises AimganError, in one line, for a wrong name or token and for a network or a Hub that fails. Raises it also,
    before anything is sent, where `private` is asked of a repository that is public.
    """
    with TemporaryDirectory(prefix="aimgan-push-") as temporary:
        page = Path(temporary, "page")
        written = write_page(source, repo, page, figures=figures, license=license)
        try:
            where = _send(page, list(written.files), repo, private, revision)
        except AimganError:
            raise
        except Exception as reason:  # huggingface_hub raises a dozen types of errors, of many lines
            raise AimganError(f"nothing was pushed to {repo}: {_refusal(repo, reason)}") from None
    return replace(written, where=where, action="pushed to")


def write_page(
    source: str | Path, repo: str, folder: Path, *, figures: bool = False, license: str | None = None
) -> Pushed:
    """Write the files that `push` would send into a folder, and send nothing.

    Raises AimganError for a name that is not valid on the Hub, and for a folder that cannot be written or holds
    anything that aimgan has not written, such as a README.md or figures of the user.
    """
    from aimgan.training.run_dir import RunDir

    _require_name(repo)
    card, model = described(source)
    files = {CONFIG: model / CONFIG, WEIGHTS: model / WEIGHTS}
    left_out = []
    for path in _pictures(RunDir(source).figures):
        name = f"{FIGURES}/{path.name}"
        if figures or path.stem in WITHOUT_DATA:
            files[name] = path
        else:
            left_out.append(name)
    card = replace(card, source=repo, figures=tuple(files)[2:], license=license)
    with _replacing(folder, model) as fresh:
        write_text(fresh / CARD, card.markdown())
        for name, path in files.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            copy_file(path, fresh / name)
    return Pushed({name: (folder / name).stat().st_size for name in (CARD, *files)}, tuple(left_out), str(folder))


def _require_name(repo: str) -> None:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as reason:
        raise AimganError(f"{shown(repo)} is not a name on the Hub ({reason}); expected owner/name") from None
    if "/" not in repo:
        raise AimganError(f"{repo!r} names no owner; expected owner/name, such as your-name/{repo}")


def _pictures(folder: Path) -> list[Path]:
    """Return the PNG files of a run that lie in its own folder: a link out of it would publish what it leads to."""
    run = folder.parent.resolve()
    found = []
    for path in sorted(folder.glob("*.png")):
        with suppress(OSError), regular(path).open("rb") as file:
            if run in path.resolve().parents and file.read(8) == b"\x89PNG\r\n\x1a\n":
                found.append(path)
    return found


@contextmanager
def _replacing(folder: Path, model: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces an earlier page. Raises AimganError if it cannot."""
    what = "a file of a dry run"
    try:
        if folder.resolve() == model.resolve():
            raise AimganError(f"{folder} is the model itself: choose another folder")
        require_own(folder, what, MARKS, [WEIGHTS, FIGURES])
        for path in (folder / FIGURES).glob("*"):
            if not _shows((folder / CARD).read_text(encoding="utf-8"), f"{FIGURES}/{path.name}"):
                raise AimganError(
                    f"{folder} contains {FIGURES}/{path.name}, which is not {what}: choose another folder"
                )
        with replacing_folder(folder) as fresh:
            yield fresh
    except OSError as reason:
        raise unwritable(folder, reason) from None


def _shows(card: str, name: str) -> bool:
    """Return whether a card shows a figure, by which the figures that aimgan has written are known."""
    from aimgan.card import link_to

    return link_to(name) in card


def _send(page: Path, names: list[str], repo: str, private: bool, revision: str | None) -> str:
    """Create the repository if necessary, and commit these files and no other figures of a card. Return its address.

    Not HfApi.upload_folder: it may split one upload into several commits, and does not have the card's metadata
    checked before the weights are sent.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    if get_token() is None:
        raise AimganError("there is no token for the Hub: run `hf auth login`, or set HF_TOKEN to one that may write")
    api = HfApi(library_name="aimgan", library_version=__version__)
    url = api.create_repo(repo, private=private or None, exist_ok=True)
    if private and not api.model_info(repo).private:  # the Hub ignores `private` for a repository that exists
        raise AimganError(f"{repo} is public: make it private in its settings on the Hub, or choose another name")
    if revision is not None:
        api.create_branch(repo, branch=revision, exist_ok=True)
    operations: list[Any] = [CommitOperationAdd(name, page / name) for name in names]
    there = api.list_repo_files(repo, revision=revision)
    card = ""
    if CARD in there:
        card = Path(api.hf_hub_download(repo, CARD, revision=revision)).read_text(encoding="utf-8", errors="replace")
    if MARKS[CARD] not in card and HEADER.sub("", card).strip():
        raise AimganError(
            f"{repo} has a {CARD} that aimgan has not written: choose another name, or another --revision"
        )
    for name in there:
        if name.startswith(f"{FIGURES}/") and name not in names and _shows(card, name):
            operations.append(CommitOperationDelete(name))
    api.create_commit(repo, operations, commit_message=f"aimgan {__version__}", revision=revision)
    return str(url) if revision is None else f"{url}/tree/{revision}"


def _refusal(repo: str, error: Exception) -> str:
    """Say in one line why the Hub refused, and what to do."""
    if type(error) is RuntimeError and isinstance(error.__cause__, Exception):  # raised for one of the files
        error = error.__cause__
    kind, status = type(error).__name__, _status(error)
    if status is None:
        line = f"{kind}: {' '.join(str(error).split())[:200]}"
        if isinstance(error, ConnectionError) or "Connect" in kind or "Timeout" in kind:
            return f"the Hub cannot be reached ({line}); check the network"
        return line
    answer = f"the Hub failed ({status}); try again in some minutes" if status >= 500 else f"the Hub says {status}"
    line = REFUSALS.get(status, answer).format(owner=repo.partition("/")[0])
    details = " ".join(str(getattr(error, "server_message", None) or "").split())[:200]
    return f"{line} [{details}]" if details else line


def _status(error: Exception) -> int | None:
    """Return the HTTP status that an error of huggingface_hub stands for, or None where there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", None)
