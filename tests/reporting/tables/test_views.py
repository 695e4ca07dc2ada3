"""Views: their rows over sections, rules above references, footnotes that texts share."""

from __future__ import annotations

import pytest

from ddbench.reporting.tables.views import Column, Notes, Row, Section, View


@pytest.mark.parametrize(
    ("kinds", "rules"),
    [
        (["entry", "reference", "reference"], {1}),
        (["reference", "reference"], set()),  # nothing above to be parted from
        (["failed", "reference", "entry", "reference"], {1, 3}),
        ([], set()),
    ],
)
def test_a_rule_parts_references_from_what_is_above(kinds, rules):
    rows = tuple(Row(cells=(), kind=kind) for kind in kinds)
    assert Section(rows=rows).rules == rules


def test_rows_are_those_of_all_sections():
    rows = [Row(cells=(), facts={"n": n}) for n in range(3)]
    sections = (Section(rows=tuple(rows[:2])), Section(rows=tuple(rows[2:])))
    view = View(title="t", columns=(Column(name="m", unit="%"),), sections=sections)
    assert list(view.rows) == rows
    assert view.columns[0].heading == "m %"


def test_equal_footnotes_share_a_place():
    notes = Notes()
    assert [notes.add(text) for text in ("a", "b", "a")] == [0, 1, 0]
    assert notes.texts == ("a", "b")
