"""The page's plots as files for papers: SVG and PDF, by matplotlib."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddbench.api.errors import DDBenchError
from ddbench.reporting.report.plots import Plot, find_frontier

FORMATS = ("svg", "pdf")
WIDE, HIGH = 4.2, 2.9
"""Inches of a column of a paper."""


def write_figures(plots: Sequence[Plot], folder: Path) -> list[Path]:
    """Writes each plot as SVG and as PDF, with text as text; equal records give equal files.

    Raises:
        DDBenchError: matplotlib is not installed, or the folder cannot be made.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as fault:
        raise DDBenchError(
            "figures need matplotlib", hint="pip install 'ddbench[figures]'"
        ) from fault
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "svg.hashsalt": "ddbench",
        "font.size": 8,
    }
    with matplotlib.rc_context(style):
        for plot in plots:
            figure = Figure(figsize=(WIDE, HIGH), layout="constrained")
            _draw(plot, figure.add_subplot())
            for kind in FORMATS:
                path = folder / f"{name_file(plot)}.{kind}"
                dates = {"Date": None} if kind == "svg" else {"CreationDate": None}
                figure.savefig(path, metadata=dates)
                written.append(path)
    return written


def name_file(plot: Plot) -> str:
    """Returns the name of a plot's files, without an ending."""
    return re.sub(r"[^A-Za-z0-9@.]+", "-", plot.name).strip("-.")


def _draw(plot: Plot, axes: Any) -> None:
    for series in plot.series:
        x, y = [p.x for p in series.points], [p.y for p in series.points]
        bars = [p.sd or 0.0 for p in series.points]
        name = _escape(series.name) + (" (reference)" if series.reference else "")
        axes.errorbar(
            x,
            y,
            yerr=bars,
            label=name,
            linestyle=("--" if series.reference else "-") if series.joined else "none",
            marker=("D" if series.reference else "o") if series.marked else "",
            markersize=4,
            markerfacecolor="white" if series.reference else None,
            linewidth=1,
            elinewidth=0.7,
        )
    if plot.frontier:
        best = find_frontier(plot.points)
        axes.step(
            [p.x for p in best],
            [p.y for p in best],
            where="post",
            color="0.6",
            zorder=0,
            linewidth=0.8,
        )
    if plot.level:
        name, value = plot.level
        axes.axhline(value, color="0.4", linewidth=0.8, linestyle=":", label=_escape(name))
    axes.set_xscale("linear" if plot.linear else "log")
    axes.set(xlabel=_escape(plot.x_title), ylabel=_escape(plot.y_title))
    axes.set_title(_escape(plot.title), fontsize=8)
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=6)


def _escape(text: str) -> str:
    """Escapes a dollar, which is no formula, and a leading underscore, which would hide a name."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
