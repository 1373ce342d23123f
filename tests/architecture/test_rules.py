"""The design's rules, read off the source."""

from __future__ import annotations

import ast
import inspect
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import aimgan
from aimgan import cli
from aimgan.objectives import OBJECTIVES
from aimgan.recipes import pairs

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "aimgan"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}

# A part may import parts of earlier lines, and neither its neighbours on the line nor anything below.
LAYERS = (
    ("errors", "_version"),
    ("checked",),
    ("noise", "files", "signals", "devices", "weights", "markdown", "score_meanings"),
    ("growing", "model_inputs", "card", "named"),
    ("objectives", "networks", "data", "metrics", "figures"),
    ("training", "model_config", "console", "extensions"),
    ("model",),
    ("recipes", "search", "sharing", "translation"),
    ("evaluation", "explorer"),
    ("pages",),
    ("runs",),
    ("paper", "sklearn"),
    ("cli",),
    ("__init__", "__main__"),
)
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}
# The engine knows what an update is, and no algorithm, network or data set.
ONLY = {"training": {"objectives.base", *(part for parts in LAYERS[:4] for part in parts)}}
DATA_SETS = ("grid", "ring", "unbalanced", "digits", "mnist", "cifar10", "celeba", "folder")
TWO_DATA_SETS = ("pairs-points", "pairs-digits", "pairs")

CLI = {
    "train": {
        "recipe",
        "--output",
        "-o",
        "--data",
        "--data-b",
        "--size",
        "--seed",
        "--steps",
        "--minutes",
        "--device",
        "--set",
        "--preset",
        "--extend",
        "--new-data",
        "--track",
    },
    "compare": {"runs", "--output", "-o"},
    "explore": {"run", "--index", "--compare", "--host", "--port", "--device"},
    "evaluate": {"run", "--json", "--data", "--seed", "--device", "--features", "--samples"},
    "generate": {"run", "--output", "-o", "-n", "--n", "--seed", "--device"},
    "reconstruct": {"run", "images", "--output", "-o", "--device", "--draws", "--optimise"},
    "neighbours": {"run", "image", "--output", "-o", "-m", "--m", "--seed", "--device"},
    "translate": {"run", "images", "--back", "--output", "-o", "--device"},
    "interpolate": {"run", "a", "b", "--output", "-o", "--steps", "--device"},
    "encode": {"run", "data", "--output", "-o", "--device"},
    "reproduce": {
        "target",
        "--set",
        "--methods",
        "--seeds",
        "--seed",
        "--steps",
        "--data",
        "--preset",
        "--images",
        "--columns",
        "--output",
        "-o",
        "--workers",
        "--device",
        "--retry",
    },
    "search": {"run", "--index", "--images", "--image", "--code", "-k", "--k", "--output", "-o", "--device"},
    "cluster": {"run", "source", "--output", "-o", "-k", "--k", "--method", "--seed", "--device"},
    "export": {"run", "--output", "-o", "--format"},
    "push": {"run", "repo", "--private", "--revision", "--figures", "--license", "--dry-run"},
    "doctor": {"--online", "--json", "--remove-pack"},
    "recipes": set(),
    "info": {"run"},
}
CLI = {verb: {*flags, "--import"} for verb, flags in CLI.items()}


def name_of(file: Path) -> str:
    return file.relative_to(SOURCE).as_posix()


def part_of(file: Path) -> str:
    return file.relative_to(SOURCE).with_suffix("").parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what of ours a file imports, wherever in it: "data", "objectives.base"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "aimgan" else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("aimgan.") for name in names if name and name.startswith("aimgan"))


def is_allowed(own: str, other: str) -> bool:
    part = other.partition(".")[0]
    if part == own:
        return True
    return LAYER[part] < LAYER[own] and (own not in ONLY or other in ONLY[own] or part in ONLY[own])


def test_every_part_is_in_a_layer():
    assert {part_of(file) for file in FILES} == {*LAYER}


def test_imports_follow_the_design():
    wrong = [
        f"{name_of(file)} imports {other}"
        for file, tree in TREES.items()
        for other in imported(tree)
        if not is_allowed(part_of(file), other)
    ]
    assert wrong == []


def test_the_rule_above_can_fail():
    tree = ast.parse(
        "def f():\n    from aimgan.data import Grid\n    import aimgan.networks.mlp\n    from aimgan import cli"
    )
    assert list(imported(tree)) == ["data", "networks.mlp", "cli"]
    assert not is_allowed("objectives", "data")
    assert not is_allowed("training", "objectives")
    assert not is_allowed("training", "objectives.terms")
    assert is_allowed("training", "objectives.base")
    assert not is_allowed("figures", "metrics")
    assert not is_allowed("pages", "runs")


def test_every_objective_is_one_file_one_entry_and_one_page():
    files = {file.stem for file in (SOURCE / "objectives").glob("*.py")} - {
        "__init__",
        "base",
        "terms",
        "options",
        "aim_variants",
    }
    homes = {name: cls.__module__.rpartition(".")[2] for name, cls in OBJECTIVES.items()}
    assert sorted(homes.values()) == sorted(files)
    assert {name: name.replace("-", "_") for name in homes} == homes
    missing = [name for name in OBJECTIVES if not (ROOT / "docs" / "objectives" / f"{name}.md").is_file()]
    assert missing == []


def test_the_recipes_are_every_objective_on_every_data_set():
    of_one = [f"{data}/{name}" for data in DATA_SETS for name in OBJECTIVES]
    of_two = [f"{data}/{name}" for data in TWO_DATA_SETS for name in pairs.OBJECTIVES]
    assert list(aimgan.RECIPES) == of_one + of_two
    assert all(recipe.name == name for name, recipe in aimgan.RECIPES.items())
    assert all(recipe.objective == name.split("/")[1] for name, recipe in aimgan.RECIPES.items())


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def functions() -> Iterator[tuple[str, int]]:
    """Yield each function with its length, its docstring not counted."""
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                docstring = ast.get_docstring(node, clean=False) or ""
                told = len(docstring.splitlines()) if docstring else 0
                yield f"{name_of(file)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1 - told


def test_files_and_functions_keep_to_their_budgets():
    assert [name_of(file) for file in FILES if lines(file) >= 300] == []
    assert [f"{name} {length}" for name, length in functions() if length >= 40] == []
    assert statistics.median(length for _, length in functions()) < 10
    algorithms = [Path(sys.modules[cls.__module__].__file__ or "") for cls in OBJECTIVES.values()]
    assert [file.name for file in algorithms if lines(file) >= 80] == []


def decorator(node: ast.expr) -> str:
    """Return the name of a decorator: "app.command"."""
    return ast.unparse(node).partition("(")[0]


def test_no_function_takes_more_than_six_parameters():
    """Verbs of the command line, a scikit-learn constructor, and `aimgan.train`, whose signature is read by people."""
    found = []
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and not any(
                "app.command" in ast.unparse(d) for d in node.decorator_list
            ):
                names = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len({*names} - {"self", "cls"}) > 6:
                    found.append(f"{name_of(file)}:{node.name}")
    assert found == ["runs/train.py:train", "sklearn.py:__init__"]


def test_each_class_name_lives_in_one_file():
    names = [node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_the_command_line_is_frozen():
    """Scripts rely on it: a change here is a change for the changelog."""
    command = typer.main.get_command(cli.app)
    found = {
        verb: {flag for parameter in sub.params for flag in (parameter.opts or [parameter.name])} - {"--help", "-h"}
        for verb, sub in command.commands.items()
    }
    assert found == CLI


def test_every_public_name_is_documented():
    missing = []
    for file, tree in TREES.items():
        if file.name != "__init__.py" and not ast.get_docstring(tree):
            missing.append(name_of(file))
        for node in [tree, *ast.walk(tree)]:
            for child in getattr(node, "body", []) if isinstance(node, ast.Module | ast.ClassDef) else []:
                public = isinstance(child, ast.FunctionDef | ast.ClassDef) and not child.name.startswith("_")
                inside = isinstance(node, ast.ClassDef) and node.name.startswith("_")
                if public and not inside and not ast.get_docstring(child):
                    missing.append(f"{name_of(file)}:{child.name}")
    assert missing == []


def test_the_public_names_are_there_and_told_in_dir():
    assert set(dir(aimgan)) == set(aimgan.__all__)
    for name in aimgan.__all__:
        assert getattr(aimgan, name) is not None
    with pytest.raises(AttributeError, match="module 'aimgan' has no attribute 'trian'"):
        aimgan.trian  # noqa: B018


def test_train_is_a_function_and_no_package():
    assert inspect.isfunction(aimgan.train)
    with pytest.raises(aimgan.AimganError, match="unknown recipe 'grid/aimm'; did you mean 'grid/aim'"):
        aimgan.train("grid/aimm")


FORBIDDEN = re.compile(r"\bpickle\b|allow_pickle\s*=\s*True|weights_only\s*=\s*False|torch\.(load|save)\b|\bdill\b")


def code_of(text: str) -> str:
    """Return a file's code without comments and docstrings, which may well name what is forbidden."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            node.body = [child for child in node.body if not _is_text(child)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_nothing_is_pickled_or_unpickled():
    for bad in ("import pickle", "torch.load(path)", "np.load(path, allow_pickle=True)", "load(weights_only=False)"):
        assert FORBIDDEN.search(code_of(bad))
    found = {name_of(file): FORBIDDEN.findall(code_of(file.read_text(encoding="utf-8"))) for file in FILES}
    assert {name: matches for name, matches in found.items() if matches} == {}


def test_importing_aimgan_imports_nothing_heavy():
    code = "import aimgan, aimgan.cli, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "matplotlib", "accelerate", "sklearn", "PIL", "safetensors"} & {*done.stdout.split()}
