"""Figures as files: SVG and PDF for papers, PNG to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ENDINGS = ("svg", "pdf", "png")


def write_figure(figure: Any, folder: Path, name: str) -> list[Path]:
    """Writes a matplotlib figure in every format and closes it."""
    import matplotlib
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{ending}" for ending in ENDINGS]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ddbench"}):
        for path in paths:
            dated = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(path, bbox_inches="tight", dpi=150, metadata=dated)
    pyplot.close(figure)
    return paths
