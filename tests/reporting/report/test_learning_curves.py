"""Lines of the page against the curves of the records; axes that hold any loss."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.api.record import LearningCurve
from ddbench.reporting.report import make_page
from ddbench.reporting.report.drawing import draw_plot
from ddbench.reporting.report.figures import write_figures
from ddbench.reporting.report.learning_curves import plot_learning_curves
from ddbench.reporting.report.plots import Plot, Point, Series
from ddbench.reporting.report.rows import make_rows
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.row_names import label_entries
from tests.doubles.pages import Reader, few, html_of, record


def curve(*losses: float) -> LearningCurve:
    return LearningCurve.from_losses(losses)


def taught() -> list:
    return [
        record("wmdd", 50, 0, learning_curves=[curve(4, 2, 1), curve(6, 2, 1)]),
        record("wmdd", 52, 1, learning_curves=[curve(2, 2, 4), curve(7, 7)]),
        record("random", 40, 0, learning_curves=[curve(9, 8, 7)]),
        record("dm", 30, 0, labels="hard", learning_curves=[curve(1.5, 0.5)]),
        record("sre2l", 45, 0),
        record("cda", 45, 0, learning_curves=[curve(1)]),
    ]


def plots(records) -> list[Plot]:
    return plot_learning_curves(make_rows(label_entries(gather(records)), {}))


def test_lines_are_the_means_over_students_and_seeds():
    fkd, hard = plots(taught())
    assert fkd.title == "digits, IPC 1, labels fkd: training loss of the students"
    assert {s.name: [(p.x, p.y) for p in s.points] for s in fkd.series} == {
        "wmdd": [(1, 4), (2, 2), (3, 2)], "random": [(1, 9), (2, 8), (3, 7)],
    }  # fmt: skip
    assert [series.reference for series in fkd.series] == [False, True]
    assert [[p.y for p in s.points] for s in hard.series] == [[1.5, 0.5]]


def test_networks_are_named_where_they_differ_and_other_trainings_have_their_own_plot():
    wide = {"student": "resnet50", "learning_curves": [curve(3, 2)]}
    (plot,) = plots([record("dm", learning_curves=[curve(3, 1)]), record("dm", **wide, key="w")])
    assert [s.name for s in plot.series] == ["dm, resnet18", "dm, resnet18 → resnet50"]
    found = plots([record(learning_curves=[curve(3, 1)]),
                   record(learning_curves=[curve(3, 1)], protocol="v2", key="w")])  # fmt: skip
    assert [p.title.partition(":")[0] for p in found] == [
        "digits, IPC 1, labels fkd, v1", "digits, IPC 1, labels fkd, v2",
    ]  # fmt: skip
    assert len({p.name for p in found}) == 2


def test_the_page_has_a_line_for_each_row_that_leads_to_it():
    reader = Reader(html_of(taught()))
    rows = {attrs["id"] for tag, attrs in reader.tags if tag == "tbody" and attrs.get("id")}
    curves = [
        i for i, (_, attrs) in enumerate(reader.tags)
        if attrs.get("class") == "curve" and "L" in attrs["d"]
    ]  # fmt: skip
    assert len(curves) == 3
    for place in curves:
        link = next(a for tag, a in reversed(reader.tags[:place]) if tag == "a")
        assert link["data-row"] in rows
        assert link["href"] == f"#{link['data-row']}"


def test_records_without_curves_have_no_section():
    assert make_page([(None, r) for r in few()]).learning_curves == ()
    assert "learning-curves" not in html_of(few())
    assert "learning-curves" in html_of([*few(), taught()[0]])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=100))
def test_any_loss_is_drawn_within_the_frame(losses):
    points = tuple(Point(x=i + 1, y=v, sd=None, label="", row="r") for i, v in enumerate(losses))
    series = Series(name="s", points=points, joined=True, marked=False)
    made = draw_plot(Plot(name="n", title="t", x_title="epochs", series=(series,), linear=True,
                        percent=False))  # fmt: skip
    assert 2 <= len(made.y_ticks) <= 9
    assert len({tick.text for tick in made.y_ticks}) == len(made.y_ticks)
    assert 2 <= len(made.x_ticks) <= 9
    for dot in made.series[0].dots:
        assert made.left <= dot.x <= made.right
        assert made.top - 1e-6 <= dot.y <= made.bottom + 1e-6


def test_numbers_of_the_axis_are_short_and_its_title_says_the_power():
    for scale, title in (
        (1e-3, "training loss (10⁻³)"), (1, "training loss"), (1e4, "training loss (10³)"),
    ):  # fmt: skip
        (plot,) = plots([record(learning_curves=[curve(2 * scale, 1.4 * scale)])])
        made = draw_plot(plot)
        assert made.y_title == title
        shown = [float(tick.text) for tick in made.y_ticks]
        unit = 1e3 if scale == 1e4 else scale
        assert shown == pytest.approx([tenths / 10 * scale / unit for tenths in range(14, 21)])
        assert max(len(tick.text) for tick in made.y_ticks) <= 5


def test_equal_steps_from_zero():
    (plot,) = plots(taught()[:1])
    made = draw_plot(plot)
    first, second, third = (dot.x for dot in made.series[0].dots)
    assert third - second == pytest.approx(second - first) == pytest.approx(first - made.left)
    assert third == made.right
    assert [tick.text for tick in made.x_ticks] == ["0", "1", "2", "3"]


def test_figures_hold_the_lines(tmp_path):
    pytest.importorskip("matplotlib")
    paths = write_figures(plots(taught()), tmp_path)
    assert [path.name for path in paths[::2]] == [
        "digits-IPC-1-fkd-v1-training-loss.svg", "digits-IPC-1-hard-v1-training-loss.svg",
    ]  # fmt: skip
    assert "training loss" in paths[0].read_text()
