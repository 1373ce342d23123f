"""A page of results tables, in Markdown and LaTeX: where the numbers come from, the tables, and notes below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimgan.files import write_json, write_text
from aimgan.paper.experiment import Results, make_folder
from aimgan.paper.results_table import ResultsTable
from aimgan.training.precision import FLOAT32

ESCAPES = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "σ": r"$\sigma$", "λ": r"$\lambda$",
})  # fmt: skip
LATEX = r"""% {comment}
% \usepackage{{booktabs, graphicx}}
\begin{{table}}
  \centering\small
  \caption{{{title}.}}
  \resizebox{{\ifdim\width>\textwidth\textwidth\else\width\fi}}{{!}}{{%
  \begin{{tabular}}{{{alignment}}}
    \toprule
    {heads} \\
    \midrule
{rows}
    \bottomrule
  \end{{tabular}}}}
\end{{table}}
"""


@dataclass(frozen=True)
class Page:
    """Tables of a results file with notes below them in Markdown, and a short table in LaTeX."""

    results: Results
    tables: Sequence[ResultsTable]
    notes: Sequence[str]
    short: ResultsTable
    claims: str = ""

    def markdown(self) -> str:
        """Return the page in Markdown: where the numbers come from, the tables, the notes, and runs without scores."""
        parts = [provenance(self.results)]
        for table in self.tables:
            parts.append(table.markdown())
        parts += self.notes
        if self.claims:
            parts.append(self.claims)
        errors = []
        for run in self.results["cells"]:
            if run["error"]:
                errors.append(f"- {run['method']}, seed {run['seed']}: {run['state']}: {run['error']}")
        if errors:
            parts += ["Runs without scores:", "\n".join(errors)]
        return "\n\n".join(parts) + "\n"

    def latex(self) -> str:
        """Return the short table in LaTeX (booktabs, graphicx), no wider than the text.

        It has the methods that ran, and the columns that have an entry.
        """
        table = self.short.filled()
        text = table.text(lambda entry: rf"\textbf{{{escape(entry)}}}", escape)
        rows = [rf"    {' & '.join(line)} \\" for line in text.rows]
        return LATEX.format(
            comment=provenance(self.results).replace("`", ""),
            title=escape(table.title),
            alignment="l" + "r" * len(table.columns),
            heads=" & ".join(text.columns),
            rows="\n".join(rows),
        )

    def write(self, path: Path) -> list[Path]:
        """Write the results file, and beside it the page in Markdown and LaTeX. Return all files."""
        make_folder(path.parent)
        write_json(path, self.results)
        markdown, latex = path.with_suffix(".md"), path.with_suffix(".tex")
        write_text(markdown, self.markdown())
        write_text(latex, self.latex())
        return [path, markdown, latex]


def escape(text: str) -> str:
    """Write text so that LaTeX prints it as it is."""
    return text.translate(ESCAPES)


def provenance(results: Results, environments: Sequence[Mapping[str, Any] | None] | None = None) -> str:
    """Return a line of Markdown with the command, date, machine and versions of a results file.

    The environments are those of the runs, unless they are given.
    """
    if environments is None:
        environments = [run["environment"] for run in results["cells"]]
    known = [environment for environment in environments if environment]

    def all_of(name: str) -> str:
        return " and ".join(dict.fromkeys(str(environment[name]) for environment in known)) or "unknown"

    machine = results.get("gpu") or f"{all_of('processor')}, {all_of('threads')} thread a run"
    precisions = dict.fromkeys(environment.get("precision") for environment in known)
    if any(precisions):  # earlier results, all of float32, do not have it
        machine += f", in {' and '.join('float32' if one in (None, FLOAT32) else one for one in precisions)}"
    versions = f"Python {all_of('python')}, torch {all_of('torch')}, aimgan {all_of('aimgan')}"
    return f"`{results['command']}`: {results['date']}, {machine}, {results['workers']} at a time, {versions}."


def lengths(results: Results) -> str:
    """Say how long and at which learning rate each method was trained."""
    groups: dict[str, list[str]] = {}
    for about in results["methods"]:
        length = "{steps:,} steps of {batch_size}, learning rate {lr:g}, beta1 {beta1:g}".format(**about)
        groups.setdefault(length, []).append(about["label"])
    parts = [f"{length}: {', '.join(labels)}" for length, labels in groups.items()]
    return f"Trained for {'; '.join(parts)}."
