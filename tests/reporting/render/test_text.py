"""CSV that pandas reads as it was, Markdown that GitHub draws as it is meant."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from ddbench.reporting.render import to_csv, to_latex, to_markdown
from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.views import Cell, Column, Row, Section, View
from ddbench.store.records import Records, find_record_folders
from tests.doubles.views import grid, printed, records


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


def test_every_view_renders_in_every_format():
    made = [r.model_copy(update={"student": s, "ipc": i, "key": f"{r.key}{s}{i}"})
            for r in records() for s in ("resnet18", "vit") for i in (1, 10)]  # fmt: skip
    for view in choose_views(made):
        for text in (to_csv(view), to_markdown(view), to_latex(view), printed(view, 80)):
            assert text.strip()


FOLDERS = find_record_folders(Path(__file__).parents[3] / "leaderboards")


def views(folder: Path) -> list[View]:
    return choose_views(Records(folder).all())


@pytest.mark.filterwarnings("ignore:.*float_precision")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_csv_comes_back_from_pandas_as_it_was(folder):
    for view in views(folder):
        text = to_csv(view)
        # pandas' own parser of floats is off by a bit unless it is told otherwise.
        frame = pd.read_csv(io.StringIO(text), float_precision="round_trip")
        rows = list(view.rows)
        assert len(frame) == len(rows)
        for (_, found), row in zip(frame.iterrows(), rows, strict=True):
            told = {**row.facts, **{k: v for c in row.cells for k, v in c.numbers.items()}}
            for name, value in told.items():
                if value is None or value == "":
                    assert pd.isna(found[name])
                elif isinstance(value, float):
                    assert found[name] == value or math.isnan(value)
                else:
                    assert str(found[name]).removesuffix(".0") == str(value), name
        again = frame.to_csv(index=False, lineterminator="\n")
        pd.testing.assert_frame_equal(
            pd.read_csv(io.StringIO(again), float_precision="round_trip"), frame
        )
