"""Rows of one name are told apart by what was given, then by what differs."""

from __future__ import annotations

from ddbench.reporting.tables import choose_views
from tests.doubles.records import configured, part, record, rows


def test_given_options_tell_rows_apart_and_common_ones_are_a_remark():
    base = {"iterations": "50"}
    view = choose_views([
        record("wmdd", 50, given=base, configuration=configured(iterations=50)),
        record("wmdd", 40, given={**base, "lr": "0.5"}, configuration=configured(lr=0.5)),
        record("random", 30, given={**base, "lr": "0.5"}),
    ])[0]  # fmt: skip
    assert list(rows(view)) == ["wmdd", "wmdd, lr=0.5", "random"]
    assert "Changed against the recipe for wmdd: iterations=50." in view.remarks


def test_rows_that_only_the_configuration_tells_apart_name_the_difference():
    view = choose_views([
        record("random", 30, configuration=configured(labeller=part("FKD", temperature=20))),
        record("random", 31, configuration=configured(labeller=part("FKD", temperature=4))),
    ])[0]  # fmt: skip
    assert set(rows(view)) == {"random, labeller.temperature=20", "random, labeller.temperature=4"}
