"""Plots hold what rows hold; the frontier is what nothing beats."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.reporting.report.plots import find_frontier, make_plots
from ddbench.reporting.report.rows import make_rows
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.row_names import label_entries
from tests.doubles.pages import few, record
from tests.doubles.plots import point

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
