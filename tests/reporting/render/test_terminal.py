"""Views on terminals of any width: numbers stay whole, columns go by priority."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from ddbench.reporting.render.terminal import lay_out
from ddbench.reporting.tables.formatting import raise_marks
from ddbench.reporting.tables.views import View
from tests.doubles.views import grid, printed


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_every_number_on_a_terminal_is_whole(board: View, width: int):
    text = printed(board, width)
    layout = lay_out(board, width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    for row in board.rows:
        for i in layout.panels[0][1:]:
            cell = row.cells[i]
            shown = cell.brief if i in layout.brief and cell.brief else cell.text
            assert shown + raise_marks(cell.notes) in text


def test_eighty_columns_keep_what_matters_and_say_what_they_leave_out(board: View):
    text = printed(board, 80)
    for number in ("83.2 ± 2.1 (3/4)", "+11.2", "64.8 ± 0.4", "71.9 ± 2.1 (3)"):
        assert number in text
    assert "Too narrow for: " in text
    assert "Too narrow for" not in printed(board, 200)


def test_columns_go_by_priority(board: View):
    kept = [[board.columns[i].priority for i in lay_out(board, width).left_out]
            for width in (60, 80)]  # fmt: skip
    for width, gone in zip((60, 80), kept, strict=True):
        left = lay_out(board, width).panels[0]
        assert min(gone) >= max(board.columns[i].priority for i in left)
    assert len(kept[0]) > len(kept[1])


def test_a_table_that_may_lose_nothing_is_drawn_in_panels():
    heads = [f"student{i}" for i in range(12)]
    view = grid([["method", *heads], ["wmdd", *(f"{50 + i}.0 ± 1.0" for i in range(12))]])
    text = printed(view, 60)
    assert len(lay_out(view, 60).panels) > 1
    assert all(head in text for head in heads)
    assert all(f"{50 + i}.0 ± 1.0" in text for i in range(12))
    assert text.count("wmdd") == len(lay_out(view, 60).panels)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.text("0123456789.", min_size=1, max_size=9), min_size=4, max_size=4),
             min_size=1, max_size=4),
    st.integers(40, 140),
)  # fmt: skip
def test_no_width_cuts_a_number(texts: list[list[str]], width: int):
    view = grid([["a name", "b", "c", "d", "e"], *(["row", *row] for row in texts)])
    text = printed(view, width)
    assert all(number in text.split() for row in texts for number in row)
    assert max(cell_len(line) for line in text.splitlines()) <= width
