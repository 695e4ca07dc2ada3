"""A critical-difference diagram: mean ranks on a line, bars over what no test tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddbench.api.errors import DDBenchError
from ddbench.reporting.tables.average_ranks import Ranking

FORMATS = (".svg", ".pdf", ".png")
_STEP = 0.32
"""Inches between names below each other."""


def write_diagram(ranking: Ranking, path: Path) -> None:
    """Draws the ranking (Demšar, JMLR 2006, Figure 1) as SVG, PDF or PNG.

    Raises:
        DDBenchError: another kind of file, or matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise DDBenchError(
            f"cannot draw a diagram as '{path.name}'",
            f"known endings: {', '.join(FORMATS)}",
            hint=f"for example {path.with_suffix('.svg').name}",
        )
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as fault:
        raise DDBenchError(
            "diagrams need matplotlib, which is not installed",
            hint="pip install 'ddbench[figures]'",
        ) from fault
    levels = ranking.groups
    rows = (len(ranking.ranks) + 1) // 2
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ddbench"}):
        figure, axes = pyplot.subplots(figsize=(7, 1.1 + _STEP * (rows + 0.6 * len(levels))))
        _draw(axes, ranking, levels)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(path, bbox_inches="tight", dpi=150, metadata=metadata)
        pyplot.close(figure)


def _draw(axes: Any, ranking: Ranking, levels: Sequence[tuple[str, ...]]) -> None:
    """Draws ranks from left, best, to right; y counts rows of names downwards."""
    last = len(ranking.ranks)
    axes.axis("off")
    axes.plot([1, last], [0, 0], color="black", lw=1)
    for tick in range(1, last + 1):
        axes.plot([tick, tick], [0, -0.15], color="black", lw=1)
        axes.text(tick, -0.25, str(tick), ha="center", va="bottom")
    axes.plot([1, min(last, 1 + ranking.difference)], [-1.2, -1.2], color="black", lw=2)
    axes.text(1, -1.3, f"critical difference {ranking.difference:.2f}", ha="left", va="bottom")
    for level, group in enumerate(levels):
        y = 0.35 + 0.35 * level
        ends = [ranking.ranks[group[0]] - 0.03, ranking.ranks[group[-1]] + 0.03]
        axes.plot(ends, [y, y], color="black", lw=4, solid_capstyle="butt")
    _draw_names(axes, ranking, 0.35 + 0.35 * len(levels))
    axes.invert_yaxis()


def _draw_names(axes: Any, ranking: Ranking, top: float) -> None:
    """Draws the better half on the left, from the top down; the other on the right, mirrored."""
    names, last = list(ranking.ranks), len(ranking.ranks)
    half = (last + 1) // 2
    for place, name in enumerate(names):
        left = place < half
        y = top + 0.5 + (place if left else last - 1 - place)
        edge = 0.8 if left else last + 0.2
        x = ranking.ranks[name]
        axes.plot([x, x, edge], [0, y, y], color="black", lw=0.8)
        text = f"{name}  {x:.2f}" if left else f"{x:.2f}  {name}"
        axes.text(edge, y, f" {text} ", ha="right" if left else "left", va="center")
