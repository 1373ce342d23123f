"""What the site needs beyond Markdown that GitHub shows as well; mkdocs.yml names this file.

Links out of docs/ lead to copies of those files, so that the site is whole without the repository; ```math is MathML,
which browsers draw without a script; a notebook is a page; a list needs no empty line before it, as on GitHub.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import latex2mathml.converter
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
COPIES = "repository/"  # where the site has files that are not in docs/
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")
FENCE = re.compile(r"^(```|~~~~)", re.MULTILINE)
WORD_ON_A_LINE = re.compile(r"(?<=\S)\n(?=\*\*\w+\*\*[:,] )")  # **Means**: ..., which begins a line
LIST_AFTER_TEXT = re.compile(r"^((?![-*] |\d+\. |\s|\||#|<).+\n)(?=[-*] |1\. )", re.MULTILINE)


def on_config(config: Any) -> None:
    """Register the fence of equations: its function cannot be named in YAML."""
    fence = {"name": "math", "class": "math", "format": mathml}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]


def on_files(files: Any, config: Any) -> None:
    """Add a page for each notebook, and one for each file outside docs/ that a page links to, and so on."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        page = notebook_page(json.loads(Path(notebook.abs_src_path).read_text(encoding="utf-8")))
        files.append(File.generated(config, in_site(f"docs/{notebook.src_uri}"), content=page))
    todo = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    while todo:
        for path in outside(*todo.pop()):
            if files.get_file_from_path(in_site(path)) is None:
                text = (ROOT / path).read_text(encoding="utf-8")
                files.append(File.generated(config, in_site(path), content=copied(path, text)))
                todo += [(path, text)] if path.endswith(".md") else []


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn a page as GitHub reads it into one as Python-Markdown does."""
    uri = page.file.src_uri
    if uri.startswith(COPIES) and not (ROOT / uri.removeprefix(COPIES)).exists():
        return markdown  # a file of code
    own = uri.removeprefix(COPIES) if uri.startswith(COPIES) else f"docs/{uri}"
    parts = re.split(r"(^(?:```|~~~~).*?^(?:```|~~~~)$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if FENCE.match(part) else _text(part, own) for part in parts)


def _text(text: str, page: str) -> str:
    here = posixpath.dirname(in_site(page))

    def target(found: re.Match[str]) -> str:
        return posixpath.relpath(in_site(posixpath.normpath(posixpath.join(posixpath.dirname(page), found[0]))), here)

    return WORD_ON_A_LINE.sub("  \n", LIST_AFTER_TEXT.sub(r"\1\n", LINK.sub(target, text)))


def in_site(path: str) -> str:
    """Return where the site has a file of the repository: docs/data.md is data.md, make.py is repository/make.py.md."""
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    return COPIES + (path if path.endswith(".md") else f"{path}.md")


def outside(page: str, text: str) -> Iterator[str]:
    """Yield the files outside docs/ that a page links to, as paths in the repository."""
    for link in LINK.findall(text):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
        if not path.startswith("docs/") and (ROOT / path).is_file():
            yield path


def copied(path: str, text: str) -> str:
    """Return the page of a file: Markdown as it is, code in a fence."""
    if path.endswith(".md"):
        return text if text.startswith("# ") else f"# {path}\n\n{text}"
    return f"# {path}\n\n~~~~{Path(path).suffix.removeprefix('.') or 'text'}\n{text.rstrip()}\n~~~~\n"


def notebook_page(notebook: dict[str, Any]) -> str:
    """Return a notebook as Markdown: its text, its code, and the outputs it was saved with."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_output(output) for output in cell.get("outputs", ())]
    return "\n\n".join(parts)


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![What the cell draws](data:image/png;base64,{''.join(data['image/png']).strip()})"
    text = output.get("text") or data["text/plain"]
    return f"```text\n{''.join(text).rstrip()}\n```"


def mathml(source: str, *_: Any, **__: Any) -> str:
    """Return an equation of LaTeX as MathML."""
    return f'<div class="equation">{latex2mathml.converter.convert(source.strip(), display="block")}</div>'
