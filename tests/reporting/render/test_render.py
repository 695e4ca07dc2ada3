"""Each format says the same, is valid, and cuts no number."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from ddbench.api.record import PublishedFigure, Record, StageCost
from ddbench.reporting.render import to_csv, to_latex, to_markdown, to_terminal
from ddbench.reporting.render.terminal import lay_out
from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.formatting import raise_marks
from ddbench.reporting.tables.views import Cell, Column, Row, Section, View


def printed(view: View, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(to_terminal(view))
    return out.getvalue()


def grid(texts: list[list[str]], **options) -> View:
    """A view of plain texts, the first row for the columns."""
    head, *body = texts
    return View(
        title="A & B_c: 100 %",
        columns=tuple(Column(name=h, align="right" if i else "left") for i, h in enumerate(head)),
        sections=(
            Section(rows=tuple(Row(cells=tuple(Cell(text=t) for t in row)) for row in body)),
        ),
        **options,
    )


def records() -> list[Record]:
    """Everything that a leaderboard can show, with long names and large numbers."""
    claim = PublishedFigure(value=64.8, sd=0.4, source="the paper, Table 1", setting="224 px")
    cost = {"key": "k", "device": "NVIDIA H200", "peak_bytes": 123_400_000_000}
    found = []
    for method, base in (("wasserstein + class_batch_norm", 81.5), ("random", 70.25)):
        for seed in range(3):
            found.append(Record(
                key=f"{method}{seed}", status="ok", method=method, dataset="imagenette@64", ipc=10,
                teacher="resnet18", student="resnet18", labels="fkd", protocol="v1", seed=seed,
                baseline=method == "random", claim=None if method == "random" else claim,
                metrics=[{"top1": base + seed * seed, "top5": 99.0, "ece": 12.25, "w2": 1234.5}],
                directions={"ece": False, "w2": False}, units={"top5": "%", "ece": "%"},
                costs=[StageCost(stage="recover", seconds=123_456, iteration_seconds=0.0603,
                                 iteration_sd=0.0041, **cost)],
                image_bytes=122_880_000, label_bytes=987_654,
            ))  # fmt: skip
    found.append(found[0].model_copy(update={
        "key": "f", "seed": 3, "status": "oom", "metrics": [], "costs": [], "reason": "no | memory",
    }))  # fmt: skip
    return found


@pytest.fixture
def board() -> View:
    return choose_views(records())[0]


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


def test_csv_survives_pandas_unrounded(board: View):
    frame = pd.read_csv(io.StringIO(to_csv(board)))
    assert len(frame) == len(list(board.rows)) == 2
    first = frame.iloc[0]
    assert first["label"] == "wasserstein + class_batch_norm"
    assert (first["n"], first["seeds"], first["status"]) == (3, 4, "partial")
    tops = pd.Series([81.5, 82.5, 85.5])
    assert first["top1_mean"] == pytest.approx(tops.mean(), rel=1e-15)
    assert first["top1_sd"] == pytest.approx(tops.std(), rel=1e-15)
    assert first["peak_bytes"] == 123_400_000_000
    assert first["reason"] == "seed 3 oom: no | memory"
    assert not frame.columns.duplicated().any()
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in frame.columns)


def _table_lines(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]


def test_markdown_has_as_many_cells_in_every_line(board: View):
    odd = grid([["m|n", "a_b"], ["x | y", "1"], ["<b>", "[2](z)"], ["_hush_ a_b", "*3*"]])
    for view in (board, odd):
        lines = _table_lines(to_markdown(view))
        assert {len(line) for line in lines} == {len(view.columns)}
        assert all(re.fullmatch(r" (:---|---:) ", cell) for cell in lines[1])
    text = to_markdown(odd)
    assert r"x \| y" in text
    assert r"\<b\>" in text
    assert r"\_hush\_ a_b" in text
    assert r"\*3\*" in text


def test_markdown_marks_the_best_and_the_references():
    rows = (
        Row(cells=(Cell(text="wmdd"), Cell(text="2", strong=True, notes=(0,)))),
        Row(cells=(Cell(text="random"), Cell(text="1")), kind="reference"),
    )
    view = View(title="T", columns=(Column(name="m", align="left"), Column(name="top-1", unit="%")),
                sections=(Section(rows=rows, title="IPC 1"),), notes=("why",))  # fmt: skip
    text = to_markdown(view)
    assert "| wmdd | **2**<sup>a</sup> |" in text
    assert "| *random* | 1 |" in text
    assert "#### IPC 1" in text
    assert "- <sup>a</sup> why" in text


def test_latex_escapes_what_is_special_and_balances_its_braces():
    view = grid(
        [["m & n", "a_b %"], ["50 % & #1", "$x^2$ ~ {y} \\z"], ["a", "[7.0, 11.2]"]],
        subtitle="x_y", notes=("p < 0.05 & _",), remarks=("mean ± sd",),
    )  # fmt: skip
    text = to_latex(view)
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert r"m \& n & a\_b \% \\" in body
    assert r"50 \% \& \#1" in body
    assert r"\$x\textasciicircum{}2\$ \textasciitilde{} \{y\} \textbackslash{}z" in body
    assert r"p $<$ 0.05 \& \_" in body
    assert r"mean $\pm$ sd" in body
    assert "{}[7.0" in body
    assert not re.search(r"(?<!\\)[_#]", body)
    bare = re.sub(r"\\[{}]", "", body)
    assert bare.count("{") == bare.count("}")
    assert r"% needs \usepackage{booktabs}" in text


def test_latex_lines_have_as_many_cells_and_only_ascii(board: View):
    text = to_latex(board)
    assert text.isascii()
    inside = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()
    lines = [line for line in inside if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(board.columns)}
    spec = re.search(r"begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", text)
    assert spec is not None
    assert len(spec[1]) == len(board.columns)
    for rule in (r"\toprule", r"\midrule", r"\cmidrule", r"\bottomrule", r"\end{tabular}"):
        assert rule in text


def test_every_view_renders_in_every_format():
    made = [r.model_copy(update={"student": s, "ipc": i, "key": f"{r.key}{s}{i}"})
            for r in records() for s in ("resnet18", "vit") for i in (1, 10)]  # fmt: skip
    for view in choose_views(made):
        for text in (to_csv(view), to_markdown(view), to_latex(view), printed(view, 80)):
            assert text.strip()
