"""Training loss by epoch: one plot for the rows whose students minimised one loss."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ddbench.api.record import LearningCurve
from ddbench.reporting.report.plots import Plot, Point, Series
from ddbench.reporting.report.rows import ReportRow
from ddbench.reporting.tables.aggregate import natural_key

SHARED = ("data set", "IPC", "labels", "protocol")
"""Facets in which the rows of a plot are alike: losses of other labels are other losses."""


def plot_learning_curves(rows: Sequence[ReportRow]) -> list[Plot]:
    """Plots a line for every row with a curve, the mean over its students and seeds."""
    groups: dict[tuple[str, ...], list[ReportRow]] = {}
    for row in rows:
        if _collect_curves(row):
            groups.setdefault(tuple(row.facets[name].text for name in SHARED), []).append(row)
    ordered = sorted(groups, key=lambda key: [natural_key(text) for text in key])
    several = len({key[-1] for key in groups}) > 1
    return [_make_plot(key, groups[key], several) for key in ordered]


def _collect_curves(row: ReportRow) -> list[LearningCurve]:
    """Returns the curves of all students of all seeds.

    Those of another length than the first are left out, and so is what is a single point.
    """
    curves = [curve for record in row.entry.finished for curve in record.learning_curves]
    return [
        curve
        for curve in curves
        if len(curve.loss) > 1
        and (curve.epochs, curve.every) == (curves[0].epochs, curves[0].every)
    ]


def _make_plot(key: tuple[str, ...], rows: Sequence[ReportRow], several: bool) -> Plot:
    dataset, ipc, labels, protocol = key
    images = "all images" if ipc == "all" else f"IPC {ipc}"
    where = f"{dataset}, {images}, labels {labels}{f', {protocol}' if several else ''}"
    return Plot(
        name=f"{dataset}-{images}-{labels}-{protocol}-training-loss",
        title=f"{where}: training loss of the students",
        x_title="epochs",
        y_title="training loss",
        linear=True,
        percent=False,
        series=tuple(_make_series(row, _name(row, rows)) for row in rows),
    )


def _name(row: ReportRow, rows: Sequence[ReportRow]) -> str:
    networks = {r.facets["architecture"].text for r in rows}
    own = row.facets["architecture"].text
    return row.label if len(networks) == 1 else f"{row.label}, {own}"


def _make_series(row: ReportRow, name: str) -> Series:
    curves = _collect_curves(row)
    means = [fmean(values) for values in zip(*(c.loss for c in curves), strict=True)]
    points = tuple(
        Point(x=float(end), y=mean, sd=None, label=name, row=row.id)
        for end, mean in zip(curves[0].ends, means, strict=True)
    )
    return Series(name=name, points=points, reference=row.reference, joined=True, marked=False)
