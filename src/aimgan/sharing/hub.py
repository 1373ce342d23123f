"""Models by name: a run, a saved model's folder, or a Hub id; and how one gets to the Hub (docs/sharing.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from aimgan._version import __version__
from aimgan.card import Card
from aimgan.checked import read_json, regular, shown
from aimgan.errors import AimganError, plain
from aimgan.files import copy_file, recover, replacing_folder, unreadable, unwritable
from aimgan.model import CARD, CONFIG, WEIGHTS, LatentVariableModel, load_folder
from aimgan.training.run_dir import RunDir

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")  # owner/name, or owner/name@revision
SHIPPED, HERE = "pretrained", Path(__file__).parent
FIGURES = "figures"
WITHOUT_DATA = ("curves", "figure3", "samples")  # the figures that show nothing of real images
Content = Path | bytes


def load(source: str | Path, device: str = "cpu") -> LatentVariableModel:
    """Load a model from a run folder, a saved model's folder or a Hub id ("owner/name"), ready to infer.

    "owner/name@revision" is a branch, a tag or a commit of the Hub; "pretrained/mnist-aim" comes with aimgan. Raises
    AimganError where there is none, or where it is not whole. Never unpickles anything.
    """
    return load_folder(find(source), device)


def find(source: str | Path) -> Path:
    """Return the folder that holds the model of a run, a folder or a Hub id, which is downloaded if need be.

    Raises AimganError where there is none.
    """
    try:
        found = _here(Path(source))
    except PermissionError as reason:
        raise unreadable(source, reason) from None
    except (OSError, ValueError, TypeError, RuntimeError) as reason:  # too long a name, a null in it, a loop of links
        raise AimganError(f"{shown(source)} cannot be a model's folder ({reason}): check the path") from None
    if found is not None:
        return found
    if Path(source, "run.json").exists():
        raise AimganError(f"{source} is a run that has no model yet: repeat its training command to finish it")
    if Path(source).exists() or not HUB_ID.fullmatch(str(source)):
        raise AimganError(f"{source} holds no model ({CONFIG} and {WEIGHTS} expected): train one, or check the path")
    return _download(str(source))


def described(source: str | Path) -> tuple[Card, Path]:
    """Return what people are told of a model, with what its run has recorded, and the folder that holds it.

    Raises AimganError as `load` does, and for an evaluation.json that cannot be read.
    """
    folder = find(source)
    card, run = load_folder(folder).card(), RunDir(source)
    try:
        scores = read_json(run.evaluation) if run.evaluation.exists() else {}
    except (OSError, ValueError, OverflowError) as reason:
        raise AimganError(f"{run.evaluation} cannot be read ({reason}): evaluate the run anew") from None
    return replace(card, source=str(source), record=run.read() or {}, scores=scores), folder


@dataclass(frozen=True)
class Pushed:
    """What was sent (or, by a dry run, written), in bytes by name; what was left out; and where it is now."""

    files: Mapping[str, int]
    left_out: tuple[str, ...]
    where: str
    dry: bool

    def lines(self) -> list[str]:
        """Return what the command line prints."""
        done = "wrote what would be pushed to" if self.dry else "pushed to"
        reason = "shows images of the data: --figures takes it along"
        lines = [
            *(f"{name}  {size:,} bytes" for name, size in self.files.items()),
            *(f"left out {name}, which {reason}" for name in self.left_out),
            f"{done} {self.where}: {len(self.files)} files, {sum(self.files.values()) / 2**20:.1f} MiB",
        ]
        return [plain(line) for line in lines]


def push(
    source: str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    figures: bool = False,
    license: str | None = None,
    dry_run: Path | None = None,
) -> Pushed:
    """Put a run's model, or a saved one, with its card into the Hub's repository "owner/name", made if need be.

    One commit of config.json, model.safetensors, README.md and the run's figures: without `figures` only those that
    show nothing of real images. `revision` is a branch, made if need be; `license` is that of the weights, by its name
    on the Hub. With `dry_run` the folder that would be pushed is written there, and nothing is sent.

    Raises AimganError, in one line, for a name, a token, a network or a Hub that does not do, and where `private` is
    asked of a repository that is public: then nothing was sent.
    """
    _require_name(repo)
    card, folder = described(source)
    pictures = _pictures(RunDir(source))
    taken = {f"{FIGURES}/{path.name}": path for path in pictures if figures or path.stem in WITHOUT_DATA}
    card = replace(card, source=repo, figures=tuple(taken), license=license)
    page = card.markdown().encode()
    files: dict[str, Content] = {CARD: page, CONFIG: folder / CONFIG, WEIGHTS: folder / WEIGHTS, **taken}
    where = str(dry_run) if dry_run is not None else ""
    if dry_run is not None:
        _write(files, dry_run)
    else:
        with _in_one_line(repo):
            where = _send(files, repo, private, revision)
    sizes = {name: len(made) if isinstance(made, bytes) else made.stat().st_size for name, made in files.items()}
    left_out = tuple(f"{FIGURES}/{path.name}" for path in pictures if path not in taken.values())
    return Pushed(sizes, left_out, where, dry_run is not None)


def _pictures(run: RunDir) -> list[Path]:
    """Return a run's figures: PNGs that lie in its folder. A link out of it would publish what lies there."""
    inside = run.path.resolve()
    return [path for path in sorted(run.figures.glob("*.png")) if _is_png(path) and inside in path.resolve().parents]


def _is_png(path: Path) -> bool:
    try:
        with regular(path).open("rb") as file:
            return file.read(8) == b"\x89PNG\r\n\x1a\n"
    except OSError:
        return False


def _here(folder: Path) -> Path | None:
    """Return the folder with the model of a run, of a folder itself, or of a name that comes with aimgan."""
    for candidate in (folder / "model", folder):
        recover(candidate)
        if _is_there(candidate / CONFIG):
            return candidate
    if len(folder.parts) == 2 and folder.parts[0] == SHIPPED:  # inside the package; in a checkout beside src
        return next((home / folder for home in (HERE, HERE.parents[1]) if (home / folder / CONFIG).exists()), None)
    return None


def _is_there(path: Path) -> bool:
    """Return whether there is a file. Raises OSError where that cannot be known (Path.exists may just say no)."""
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
    except Exception as reason:  # the Hub's client raises a dozen kinds, offline or not
        there = "that you may read" if _status(reason) in (401, 403, 404) else "within reach"
        raise AimganError(
            f"no folder {source} here, and the Hub has no model {source} {there}: check the name and the network, or "
            f"log in (hf auth login) for a private one ({type(reason).__name__})"
        ) from None


def _write(files: Mapping[str, Content], folder: Path) -> None:
    """Write files into a folder, in place of an earlier dry run. Raises AimganError where it holds anything else."""
    try:
        others = {path.name for path in folder.iterdir()} - {CARD, CONFIG, WEIGHTS, FIGURES} if folder.exists() else ()
        if others or folder.resolve() == Path(str(files[CONFIG])).parent.resolve():
            what = f"holds {min(others)}, which no dry run wrote" if others else "is the model itself"
            raise AimganError(f"{folder} {what}: choose another folder")
        with replacing_folder(folder) as fresh:
            for name, content in files.items():
                (fresh / name).parent.mkdir(exist_ok=True)
                if isinstance(content, bytes):
                    (fresh / name).write_bytes(content)
                else:
                    copy_file(content, fresh / name)
    except OSError as reason:
        raise unwritable(folder, reason) from None


def _send(files: Mapping[str, Content], repo: str, private: bool, revision: str | None) -> str:
    """Make the repository if need be, and one commit of these files and no other figures. Return its address."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    if get_token() is None:
        raise AimganError("there is no token for the Hub: run `hf auth login`, or set HF_TOKEN to one that may write")
    api = HfApi(library_name="aimgan", library_version=__version__)
    url = api.create_repo(repo, private=private or None, exist_ok=True)
    if private and not api.model_info(repo).private:  # of a repository that is there, the Hub does not mind `private`
        raise AimganError(f"{repo} is public: make it private in its settings on the Hub, or choose another name")
    if revision is not None:
        api.create_branch(repo, branch=revision, exist_ok=True)
    adds = [CommitOperationAdd(name, content) for name, content in files.items()]
    earlier = [name for name in api.list_repo_files(repo, revision=revision) if name.startswith(f"{FIGURES}/")]
    deletes = [CommitOperationDelete(name) for name in earlier if name not in files]
    api.create_commit(repo, [*adds, *deletes], commit_message=f"aimgan {__version__}", revision=revision)
    return str(url) if revision is None else f"{url}/tree/{revision}"


def _require_name(repo: str) -> None:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as reason:
        raise AimganError(f"{shown(repo)} is no name on the Hub ({reason}); expected owner/name") from None
    if "/" not in repo:
        raise AimganError(f"{repo!r} names no owner; expected owner/name, such as your-name/{repo}")


@contextmanager
def _in_one_line(repo: str) -> Iterator[None]:
    """Raise AimganError for all that the Hub's client raises, which are a dozen kinds of many lines."""
    try:
        yield
    except AimganError:
        raise
    except Exception as reason:
        raise AimganError(f"nothing was pushed to {repo}: {_refusal(repo, reason)}") from None


def _refusal(repo: str, reason: Exception) -> str:
    if type(reason) is RuntimeError and isinstance(reason.__cause__, Exception):  # of one of the files
        reason = reason.__cause__
    status, kind, owner = _status(reason), type(reason).__name__, repo.partition("/")[0]
    said = str(getattr(reason, "server_message", None) or "").strip()
    known = {
        401: "the Hub does not know this token (401); run `hf auth login`, or set HF_TOKEN to one that may write",
        403: f"this token may not write there (403); take one that may write, or another owner than {owner}",
        404: "the Hub has no such owner, repository or branch (404); check the name",
        429: "the Hub has had too many requests from here (429); try again in some minutes",
    }
    if status is None:
        line = " ".join(str(reason).split())[:200]
        network = isinstance(reason, ConnectionError) or "Connect" in kind or "Timeout" in kind
        return f"the Hub cannot be reached ({kind}: {line}); check the network" if network else f"{kind}: {line}"
    failed = f"the Hub failed ({status}); try again in some minutes" if status >= 500 else f"the Hub says {status}"
    return known.get(status, failed) + (f" [{' '.join(said.split())[:200]}]" if said else "")


def _status(reason: Exception) -> int | None:
    """Return the HTTP status of what the Hub's client raises, where an answer was why."""
    return getattr(getattr(reason, "response", None), "status_code", None)
