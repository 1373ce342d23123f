"""A table in LaTeX."""

from __future__ import annotations

from collections.abc import Collection, Sequence

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "σ": r"$\sigma$", "λ": r"$\lambda$",
}  # fmt: skip


def escape(text: str) -> str:
    """Write text so that LaTeX prints it as it is."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def tabular(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    bold: Collection[tuple[int, int]],
    note: str,
    comment: str,
) -> str:
    """Return a floating table of text, `bold` at (row, column), with a note below and a comment on top."""
    lines = [
        f"% {comment}",
        r"% \usepackage{booktabs, graphicx}",
        r"\begin{table*}",
        r"  \centering",
        rf"  \caption{{{escape(title)}.}}",
        r"  \resizebox{\textwidth}{!}{%",
        rf"  \begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        r"    \toprule",
        f"    {_line(columns)}",
        r"    \midrule",
        *(f"    {_line(row, {k for r, k in bold if r == number})}" for number, row in enumerate(rows)),
        r"    \bottomrule",
        r"  \end{tabular}}",
        rf"  \par\medskip\footnotesize {escape(note)}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _line(texts: Sequence[str], bold: Collection[int] = ()) -> str:
    cells = [rf"\textbf{{{escape(text)}}}" if k in bold else escape(text) for k, text in enumerate(texts)]
    return " & ".join(cells) + r" \\"
