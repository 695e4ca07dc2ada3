"""Draws a plot as SVG: scales, ticks, and labels that do not lie on each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ddbench.reporting.report.plots import Plot, Point, Series, find_frontier
from ddbench.reporting.tables.formatting import format_bytes

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 42, 14, 12, 42
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LETTER, LINE = 6.0, 13.0
"""Width of a letter and height of a line in a label, generous: fonts differ."""


Scale = Callable[[float], float]
"""Returns the place of a value in the picture."""
PLACES = (
    ("start", 6, -8),
    ("end", -6, -8),
    ("start", 8, 4),
    ("end", -8, 4),
    ("start", 6, 17),
    ("end", -6, 17),
    ("end", -8, 30),
    ("start", 8, 30),
)
"""Anchors of a label and their places beside its point, in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A number beside an axis."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point and its bar."""

    x: float
    y: float
    low: float
    """Ends of the bar of one standard deviation."""
    high: float
    point: Point


@dataclass(frozen=True, slots=True)
class Label:
    """A text in the picture."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class DrawnSeries:
    """A series with its colour and places."""

    series: Series
    colour: int
    dots: tuple[Dot, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything that the template puts into an SVG picture."""

    plot: Plot
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    series: list[DrawnSeries]
    labels: list[Label]
    frontier: str
    level: float | None
    y_title: str
    """Title of the axis, with the power of ten that the numbers beside it leave out."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def draw_plot(plot: Plot) -> Drawing:
    """Places everything of a plot that has at least one point."""
    xs = [p.x for p in plot.points]
    ys = [p.y + d for p in plot.points for d in (-(p.sd or 0), p.sd or 0)]
    ys += [plot.level[1]] if plot.level else []
    x_of, x_ticks = _make_linear_x(max(xs)) if plot.linear else _make_logarithmic_x(plot, xs)
    bottom, top, step = (_round_percent if plot.percent else _round_ends)(min(ys), max(ys))
    y_of = _make_scale(bottom, top, HEIGHT - BOTTOM, TOP)
    power = 0 if plot.percent else _choose_power(top)
    colours = {name: i for i, name in enumerate(dict.fromkeys(s.name for s in plot.series))}
    series = [_draw_series(s, colours[s.name] % 8, x_of, y_of) for s in plot.series]
    best = find_frontier(plot.points) if plot.frontier else []
    return Drawing(
        plot,
        x_ticks,
        [Tick(y_of(v), f"{v / 10.0**power:.4g}") for v in _list_steps(bottom, top, step)],
        series,
        labels=_place_labels(best, series),
        frontier=_draw_stairs([(x_of(p.x), y_of(p.y)) for p in best]),
        level=y_of(plot.level[1]) if plot.level else None,
        y_title=f"{plot.y_title} (10{str(power).translate(RAISED)})" if power else plot.y_title,
    )


def _draw_series(series: Series, colour: int, x_of: Scale, y_of: Scale) -> DrawnSeries:
    dots = tuple(
        Dot(x_of(p.x), y_of(p.y), y_of(p.y - (p.sd or 0)), y_of(p.y + (p.sd or 0)), p)
        for p in series.points
    )
    path = " ".join(f"{'L' if i else 'M'}{d.x:.1f} {d.y:.1f}" for i, d in enumerate(dots))
    return DrawnSeries(series, colour, dots, path if series.joined else "")


def _make_scale(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / ((high - low) or 1) * (end - start)


def _make_logarithmic_x(plot: Plot, xs: Sequence[float]) -> tuple[Scale, list[Tick]]:
    low, high = min(xs) / 1.25, max(xs) * 1.25
    place = _make_scale(math.log(low), math.log(high), LEFT, WIDTH - RIGHT)
    name = format_bytes if plot.x_title.startswith("bytes") else _format_tick
    ticks = [Tick(place(math.log(value)), name(value)) for value in _choose_ticks(low, high)]
    return lambda value: place(math.log(value)), ticks


def _make_linear_x(high: float) -> tuple[Scale, list[Tick]]:
    place = _make_scale(0.0, high, LEFT, WIDTH - RIGHT)
    step = max(_round_ends(0.0, high)[2], 1.0)
    values = _list_steps(0.0, math.floor(high / step) * step, step)
    return place, [Tick(place(value), _format_tick(value)) for value in values]


def _round_ends(low: float, high: float) -> tuple[float, float, float]:
    """Returns rounded ends and a step of 1, 2 or 5 times a power of ten; values that hardly differ
    are given some room, so that ticks do."""
    span = max(high - low, 0.1 * abs(high)) or 1.0
    low, high = min(low, (low + high - span) / 2), max(high, (low + high + span) / 2)
    power = 10 ** math.floor(math.log10(span / 7))
    step = next(s * power for s in (1, 2, 5, 10, 20) if span / (s * power) <= 7)
    # 1.4 / 0.1 is not 14: rounding is no reason for another step.
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _choose_power(high: float) -> int:
    """Returns the power of ten, of every third, that keeps numbers of an axis short."""
    plain = high == 0 or 0.1 <= abs(high) < 10_000
    return 0 if plain else 3 * math.floor(math.log10(abs(high)) / 3)


def _round_percent(low: float, high: float) -> tuple[float, float, float]:
    """Returns rounded ends and a round step of four to eight ticks; percent stay in [0, 100]."""
    span = max(high - low, 2.0)
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 50, 1e9) if span / s <= 7)
    bottom = math.floor((low - 0.04 * span) / step) * step
    top = math.ceil((high + 0.04 * span) / step) * step
    return max(bottom, 0.0), min(top, 100.0) if high <= 100 else top, step


def _list_steps(bottom: float, top: float, step: float) -> Iterable[float]:
    return [bottom + i * step for i in range(round((top - bottom) / step) + 1)]


def _choose_ticks(low: float, high: float) -> list[float]:
    """Returns 1, 2, 5 of every power of ten; the powers where these are many, 1 to 9 where few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), range(10, 100)):
        scale = 10 if isinstance(digits, range) else 1
        ticks = [d / scale * 10**p for p in powers for d in digits]
        ticks = [value for value in ticks if low <= value <= high]
        if len(ticks) >= 3:
            return ticks if len(ticks) <= 7 else ticks[:: math.ceil(len(ticks) / 6)]
    return ticks


def _format_tick(value: float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _draw_stairs(places: Sequence[tuple[float, float]]) -> str:
    """Draws the frontier as a path: level until the next better point, then up."""
    words = [f"M{places[0][0]:.1f} {places[0][1]:.1f}"] if places else []
    words += [f"H{x:.1f} V{y:.1f}" for x, y in places[1:]]
    return " ".join(words)


def _place_labels(best: Sequence[Point], series: Sequence[DrawnSeries]) -> list[Label]:
    """Places the names of the frontier's points, where they cover no point and no other name."""
    dots = [dot for drawn in series for dot in drawn.dots]
    taken = [(d.x - 5, d.y - 5, d.x + 5, d.y + 5) for d in dots]
    labels = []
    for point in reversed(best):
        dot = next(d for d in dots if d.point is point)
        text = point.label if len(point.label) <= 34 else point.label[:33] + "…"
        width = LETTER * len(text)
        for anchor, dx, dy in PLACES:
            left = dot.x + dx - (width if anchor == "end" else 0)
            box = (left, dot.y + dy - LINE + 3, left + width, dot.y + dy + 3)
            inside = box[0] > LEFT and box[2] < WIDTH and box[1] > TOP and box[3] < HEIGHT - BOTTOM
            if inside and not any(_overlaps(box, other) for other in taken):
                taken.append(box)
                labels.append(Label(dot.x + dx, dot.y + dy, text, anchor))
                break
    return labels


Box = tuple[float, float, float, float]


def _overlaps(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
