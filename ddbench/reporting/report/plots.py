"""Plots as plain values: drawn in the page by SVG, in papers by matplotlib."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ddbench.reporting.report.rows import ReportRow
from ddbench.reporting.tables.aggregate import natural_key
from ddbench.reporting.tables.formatting import format_ipc

COSTS = (
    ("seconds", "total time", "seconds, all stages"),
    ("memory", "peak memory", "bytes"),
    ("stored", "stored bytes", "bytes of images + labels"),
)
"""Field of `ReportRow`, title, axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value of a row, with the bar of its spread."""

    x: float
    y: float
    sd: float | None
    label: str
    row: str
    """Id of the row that it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of one colour."""

    name: str
    points: tuple[Point, ...]
    reference: bool = False
    joined: bool = False
    marked: bool = True
    """True where each point is drawn and leads to its row; else the line does, of one row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One pair of axes."""

    name: str
    """Name of its file."""
    title: str
    x_title: str
    y_title: str = "top-1 %"
    series: tuple[Series, ...]
    frontier: bool = False
    """True where the points that nothing beats in both directions are joined."""
    level: tuple[str, float] | None = None
    """A horizontal line and its name."""
    linear: bool = False
    """True where x runs from 0 in equal steps, else on a logarithmic scale."""
    percent: bool = True
    """True where y stays within 0 and 100 as far as its values do."""

    @property
    def points(self) -> tuple[Point, ...]:
        """Points of all series."""
        return tuple(p for series in self.series for p in series.points)


def find_frontier(points: Iterable[Point]) -> list[Point]:
    """Returns the Pareto frontier, cheapest first: points that no other is as cheap as and better,
    or cheaper than and as good. Of equal points the first stays."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not best or point.y > best[-1].y:
            best.append(point)
    return best


def make_plots(rows: Sequence[ReportRow]) -> list[Plot]:
    """Plots, for each data set, accuracy against each cost, and against images per class."""
    plots = []
    names = sorted({row.facets["data set"].text for row in rows}, key=natural_key)
    for name in names:
        own = [row for row in rows if row.facets["data set"].text == name and row.summary]
        costs = [_plot_cost(name, own, *cost) for cost in COSTS]
        plots += [plot for plot in costs if len(plot.points) > 1]
        if (curves := _plot_ipc(name, own)) is not None:
            plots.append(curves)
    return plots


def _plot_cost(name: str, rows: Sequence[ReportRow], field: str, title: str, axis: str) -> Plot:
    series: dict[tuple[bool, float, str], list[Point]] = {}
    for row in rows:
        x, ipc = getattr(row, field).value, row.entry.setting.ipc
        if isinstance(x, (int, float)) and x > 0:
            key = (row.reference, float("inf") if ipc is None else ipc, format_ipc(ipc))
            series.setdefault(key, []).append(_make_point(row, float(x)))
    return Plot(
        name=f"{name}-{title}",
        title=f"{name}: accuracy against {title}",
        x_title=axis,
        series=tuple(
            Series(name=ipc, points=tuple(points), reference=reference)
            for (reference, _, ipc), points in sorted(series.items())
        ),
        frontier=True,
    )


def _plot_ipc(name: str, rows: Sequence[ReportRow]) -> Plot | None:
    """Plots accuracy by images per class, where a row has more than one number of them."""
    series: dict[tuple[bool, str], list[Point]] = {}
    distilled = [row for row in rows if row.entry.setting.ipc is not None]
    for row in distilled:
        key = row.reference, _name_curve(row, distilled)
        series.setdefault(key, []).append(_make_point(row, row.entry.setting.ipc or 0))
    curves = {key: p for key, p in series.items() if len({q.x for q in p}) > 1}
    if not curves:
        return None
    whole = [row for row in rows if row.entry.setting.ipc is None and row.summary]
    summary = whole[0].summary if len(whole) == 1 else None
    return Plot(
        name=f"{name}-images-per-class",
        title=f"{name}: accuracy against images per class",
        x_title="images per class",
        series=tuple(
            Series(
                name=label,
                points=tuple(sorted(points, key=lambda p: p.x)),
                reference=reference,
                joined=True,
            )
            for (reference, label), points in sorted(curves.items())
        ),
        level=None if summary is None else (whole[0].label, summary.mean),
    )


def _name_curve(row: ReportRow, rows: Sequence[ReportRow]) -> str:
    """Returns a name that is the same at every number of images per class: a label tells rows
    apart at one of them."""
    networks = row.facets["architecture"].text
    several = len({r.facets["architecture"].text for r in rows}) > 1
    name = f"{row.entry.name}, {networks}" if several else row.entry.name
    terms = [
        _spell_terms(r)
        for r in rows
        if r.entry.name == row.entry.name and r.facets["architecture"].text == networks
    ]
    # The terms that most of the name's rows have go without saying.
    usual = max(sorted(set(terms)), key=terms.count)
    return name if _spell_terms(row) == usual else f"{name}{row.label.removeprefix(row.entry.name)}"


def _spell_terms(row: ReportRow) -> str:
    """Returns what a row was made under besides its number of images, as one text."""
    configuration = row.entry.first.configuration
    recipe = configuration.get("recipe", {})
    terms = [recipe.get("squeeze"), recipe.get("labeller"), configuration.get("protocol")]
    return json.dumps([row.entry.setting._replace(ipc=None), *terms], sort_keys=True)


def _make_point(row: ReportRow, x: float) -> Point:
    assert row.summary is not None
    ipc, name = row.entry.setting.ipc, row.entry.name
    label = name if ipc is None else f"{name}, {format_ipc(ipc)}"
    return Point(x=x, y=row.summary.mean, sd=row.summary.sd, label=label, row=row.id)
