"""What the plots show, as plain values: drawn in the page by SVG, in papers by matplotlib."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ddbench.reporting.report.rows import ReportRow
from ddbench.reporting.tables.aggregate import natural_key

COSTS = (
    ("seconds", "total time", "seconds, all stages"),
    ("memory", "peak memory", "bytes"),
    ("stored", "stored bytes", "bytes of images + labels"),
)
"""Field of `ReportRow`, title, axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
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
    """Whether each point is drawn and leads to its row; else the line does, which is of one row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One pair of axes."""

    name: str
    """For a file."""
    title: str
    x_title: str
    y_title: str = "top-1 %"
    series: tuple[Series, ...]
    frontier: bool = False
    """Whether the points that nothing beats in both directions are joined."""
    level: tuple[str, float] | None = None
    """A horizontal line and its name."""
    linear: bool = False
    """Whether x runs from 0 in equal steps, else on a logarithmic scale."""
    percent: bool = True
    """Whether y stays within 0 and 100 where its values do."""

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(p for series in self.series for p in series.points)


def pareto(points: Iterable[Point]) -> list[Point]:
    """Points that no other is as cheap as and better, or cheaper than and as good; cheapest first.

    Of equal points the first stays.
    """
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not found or point.y > found[-1].y:
            found.append(point)
    return found


def plots_of(rows: Sequence[ReportRow]) -> list[Plot]:
    """For each data set: accuracy against each cost, and against images per class."""
    found = []
    names = sorted({row.facets["data set"].text for row in rows}, key=natural_key)
    for name in names:
        own = [row for row in rows if row.facets["data set"].text == name and row.summary]
        costs = [_against_cost(name, own, *cost) for cost in COSTS]
        found += [plot for plot in costs if len(plot.points) > 1]
        if (curves := _against_ipc(name, own)) is not None:
            found.append(curves)
    return found


def _against_cost(name: str, rows: Sequence[ReportRow], field: str, title: str, axis: str) -> Plot:
    series: dict[tuple[bool, object], list[Point]] = {}
    names: dict[tuple[bool, object], str] = {}
    for row in rows:
        x = getattr(row, field).value
        if isinstance(x, (int, float)) and x > 0:
            ipc = row.facets["IPC"]
            key = (row.reference, ipc.value)
            names[key] = "all images" if ipc.text == "all" else f"IPC {ipc.text}"
            series.setdefault(key, []).append(_point(row, float(x)))
    return Plot(
        name=f"{name}-{title}",
        title=f"{name}: accuracy against {title}",
        x_title=axis,
        series=tuple(
            Series(name=names[key], points=tuple(points), reference=key[0])
            for key, points in sorted(series.items(), key=lambda item: item[0])  # type: ignore[arg-type]
        ),
        frontier=True,
    )


def _against_ipc(name: str, rows: Sequence[ReportRow]) -> Plot | None:
    """Learning curves in the number of images per class, where a row has more than one."""
    series: dict[tuple[bool, str], list[Point]] = {}
    held = [row for row in rows if row.entry.setting.ipc is not None]
    for row in held:
        series.setdefault((row.reference, _curve_name(row, held)), []).append(
            _point(row, row.entry.setting.ipc or 0)
        )
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


def _curve_name(row: ReportRow, rows: Sequence[ReportRow]) -> str:
    """The same at every number of images per class: a label tells rows apart at one of them."""
    networks = row.facets["architecture"].text
    several = len({r.facets["architecture"].text for r in rows}) > 1
    name = f"{row.entry.name}, {networks}" if several else row.entry.name
    terms = [
        _terms(r) for r in rows
        if r.entry.name == row.entry.name and r.facets["architecture"].text == networks
    ]  # fmt: skip
    # The terms that most of the name's rows have go without saying.
    usual = max(sorted(set(terms)), key=terms.count)
    return name if _terms(row) == usual else f"{name}{row.label.removeprefix(row.entry.name)}"


def _terms(row: ReportRow) -> str:
    """What a row was made under besides its number of images: teacher, labels, protocol."""
    configuration = row.entry.first.configuration
    recipe = configuration.get("recipe", {})
    terms = [recipe.get("squeeze"), recipe.get("labeller"), configuration.get("protocol")]
    return json.dumps([row.entry.setting._replace(ipc=None), *terms], sort_keys=True)


def _point(row: ReportRow, x: float) -> Point:
    assert row.summary is not None
    ipc = row.facets["IPC"].text
    label = row.entry.name if ipc == "all" else f"{row.entry.name}, IPC {ipc}"
    return Point(x=x, y=row.summary.mean, sd=row.summary.sd, label=label, row=row.id)
