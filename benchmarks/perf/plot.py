"""Seconds and memory against size, one column of panels an axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures.files import write_figure
from benchmarks.perf.report import PICTURE, Curve

STYLES = {"harness": ("o", "#1b6ca8"), "floor": ("s", "#c2571a")}
"""Marker and colour of each variant."""


def draw(curves: Sequence[Curve], folder: Path) -> list[Path]:
    """Draws panels with logarithmic axes; those of one row share their scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        2, len(curves), figsize=(3.2 * len(curves), 5.5), sharey="row", squeeze=False
    )
    for column, curve in enumerate(curves):
        for name, rows in curve.rows.items():
            marker, colour = STYLES[name]
            seconds = [row.timing.seconds for row in rows]
            megabytes = [(row.added or 0) / 1e6 for row in rows]
            for panel, values in zip(panels[:, column], (seconds, megabytes), strict=True):
                panel.loglog(curve.sizes, values, marker=marker, color=colour, label=name)
        for panel in panels[:, column]:
            panel.set_xticks(curve.sizes, [f"{size:,}" for size in curve.sizes])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
        panels[1, column].set_xlabel(curve.axis)
    panels[0, 0].set_ylabel("seconds an iteration")
    panels[1, 0].set_ylabel("working memory, MB")
    panels[0, 0].legend()
    return write_figure(figure, folder, PICTURE)
