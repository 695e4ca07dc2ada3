"""Pareto frontiers against brute force; drawings keep to their frames; figures are files."""

from __future__ import annotations

import math
import random
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.api.errors import DDBenchError
from ddbench.reporting.report.drawing import _choose_ticks, draw_plot
from ddbench.reporting.report.figures import write_figures
from ddbench.reporting.report.plots import Plot, Point, Series, find_frontier, make_plots
from ddbench.reporting.report.rows import make_rows
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.row_names import label_entries
from tests.reporting.report.test_page import few, record


def point(x: float, y: float, name: str = "") -> Point:
    return Point(x=x, y=y, sd=1.0, label=name or f"{x}, {y}", row="row")


def plot(points: list[Point], **options) -> Plot:
    series = (Series(name="IPC 1", points=tuple(points)),)
    return Plot(name="p", title="t", x_title="seconds", series=series, **options)


places = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40)
@given(places)
def test_the_frontier_is_what_nothing_beats(found):
    points = [point(x, y) for x, y in found]
    best = {(p.x, p.y) for p in find_frontier(points)}
    beaten = {
        (a.x, a.y) for a in points for b in points
        if b.x <= a.x and b.y >= a.y and (b.x, b.y) != (a.x, a.y)
    }  # fmt: skip
    assert best == {(p.x, p.y) for p in points} - beaten


def test_a_frontier_rises_to_the_right_in_the_picture():
    made = draw_plot(plot([point(10, 20), point(100, 50), point(1000, 40)], frontier=True))
    steps = re.fullmatch(r"M([\d.]+) ([\d.]+) H([\d.]+) V([\d.]+)", made.frontier)
    assert steps
    x0, y0, x1, y1 = map(float, steps.groups())
    assert x0 < x1
    assert y0 > y1  # SVG counts downwards


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(1e-3, 1e12), st.floats(0, 100)), min_size=1, max_size=9))
def test_everything_is_drawn_within_the_frame(found):
    made = draw_plot(plot([point(x, y) for x, y in found], frontier=True))
    for dot in made.series[0].dots:
        assert made.left <= dot.x <= made.right
        assert made.top <= dot.y <= made.bottom
    for tick in made.x_ticks:
        assert made.left - 1e-6 <= tick.place <= made.right + 1e-6
    for label in made.labels:
        assert 0 <= label.x <= made.width


@settings(deadline=None, max_examples=40)
@given(st.floats(1e-6, 1e12), st.floats(1.5, 1e6))
def test_ticks_are_few_and_in_range(low, ratio):
    ticks = _choose_ticks(low, low * ratio)
    assert 2 <= len(ticks) <= 8
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert ticks == sorted(ticks)


def rows():
    return make_rows(label_entries(gather(few())), {})


def test_plots_are_made_of_what_rows_hold():
    made = {p.name: p for p in make_plots(rows())}
    assert set(made) == {
        "digits-total time", "digits-peak memory", "digits-stored bytes", "digits-images-per-class",
    }  # fmt: skip
    time = made["digits-total time"]
    assert {p.y for p in time.points} == {51.0, 41.0, 71.0}
    assert [s.name for s in time.series] == ["IPC 1", "IPC 10", "IPC 1"]
    (curve,) = made["digits-images-per-class"].series
    assert [(p.x, p.y) for p in curve.points] == [(1, 51.0), (10, 71.0)]


def test_a_row_without_cost_has_no_point():
    bare = [record("wmdd", 3.0, 0, costs=[], image_bytes=None)]
    assert make_plots(make_rows(label_entries(gather(bare)), {})) == []


def test_labels_do_not_lie_on_each_other():
    rng = random.Random(0)
    points = [point(math.exp(rng.uniform(0, 4)), rng.uniform(0, 99), "a method's name")
              for _ in range(30)]  # fmt: skip
    labels = draw_plot(plot(points, frontier=True)).labels
    assert labels
    boxes = [(la.x - (90 if la.anchor == "end" else 0), la.y) for la in labels]
    for i, (x, y) in enumerate(boxes):
        assert not [b for b in boxes[:i] if abs(b[0] - x) < 90 and abs(b[1] - y) < 12]


def test_figures_are_svg_and_pdf_and_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    plots = make_plots(rows())
    first = write_figures(plots, tmp_path / "a")
    again = write_figures(plots, tmp_path / "b")
    assert len(first) == 2 * len(plots)
    for one, other in zip(first, again, strict=True):
        data = one.read_bytes()
        assert data == other.read_bytes()
        assert data.startswith(b"%PDF" if one.suffix == ".pdf" else b"<?xml")
    svg = next(p for p in first if p.name == "digits-total-time.svg").read_text()
    assert "digits: accuracy against total time" in svg  # text is text


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DDBenchError) as caught:
        write_figures(make_plots(rows()), tmp_path)
    assert "ddbench[figures]" in caught.value.hint
