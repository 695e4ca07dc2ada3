"""Rows of the page: how they are told apart and addressed."""

from __future__ import annotations

from ddbench.api.record import PublishedFigure
from ddbench.reporting.report import make_page
from tests.doubles.pages import Reader, few, html_of, record


def test_rows_of_one_name_are_told_apart_wherever_they_stand():
    claim = PublishedFigure(value=64.8, source="the paper, Table 1")
    made = [record("wmdd", top1, labels=labels, key=labels, claim=claim)
            for labels, top1 in (("fkd", 50.0), ("hard", 30.0))]  # fmt: skip
    texts = Reader(html_of(made)).texts
    # Below the name, where a narrow screen has no room for columns; and beside the claim.
    assert [texts.count(f"digits, IPC 1, {labels}") for labels in ("fkd", "hard")] == [2, 2]
    assert "digits, IPC 1" in Reader(html_of(made[:1])).texts


def test_a_row_is_found_under_the_same_address_when_seeds_are_added():
    first = make_page([(None, r) for r in few()])
    more = make_page([(None, r) for r in [*few(), record("wmdd", 55.0, 7)]])
    assert {row.id for row in first.rows} == {row.id for row in more.rows}
    assert len({row.id for row in first.rows}) == len(first.rows) == 4
