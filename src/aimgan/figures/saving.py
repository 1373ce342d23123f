"""Figures as files."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from aimgan.files import replacing_file


def save(figure: Figure | Image.Image, path: Path) -> Path:
    """Write a picture without its writer's version and the date, so that the same run gives the same bytes."""
    kind = path.suffix.lower().removeprefix(".")
    dated = ("CreationDate", "Creator", "Producer") if kind == "pdf" else ("Software",)
    with replacing_file(path) as fresh, rc_context({"pdf.fonttype": 42}):  # letters stay letters, as printers ask
        if isinstance(figure, Image.Image):
            figure.save(fresh, kind)
        else:
            figure.savefig(fresh, format=kind, metadata=dict.fromkeys(dated))
    return path
