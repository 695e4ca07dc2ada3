"""Metrics that few rows have widen no table, unless somebody asks for them."""

from __future__ import annotations

import pytest

from ddbench.api.record import Record
from ddbench.reporting import render
from ddbench.reporting.report import make_page, to_html
from ddbench.reporting.tables import choose_views
from ddbench.store.records import Records

ACCURACY = {"accuracy": ["a:Accuracy/1", {}]}
SEPARATION = {"class_separation": ["c:ClassSeparation/1", {}]}


def record(method: str, top1: float, **spread: float) -> Record:
    return Record(
        key=method, status="ok", method=method, dataset="digits", ipc=1, teacher="resnet18",
        student="resnet18", labels="fkd", protocol="v1", seed=0, baseline=method == "random",
        metrics=[{"top1": top1, **spread}], configuration={"method": method},
        evaluators={**ACCURACY, **(SEPARATION if spread else {})},
    )  # fmt: skip


FEW = [record("wmdd", 50, intra_class_spread=1.5), record("sre2l", 40), record("random", 30)]
MOST = [*FEW[:1], record("dm", 45, intra_class_spread=2.5), *FEW[2:]]


def heads(view):
    return [column.name for column in view.columns]


def test_a_metric_of_few_rows_has_no_column_and_is_named_below():
    board = choose_views(FEW)[0]
    assert "intra_class_spread" not in heads(board)
    (told,) = [text for text in board.remarks if "intra_class_spread" in text]
    assert told == (
        "No column for what only 1 of 3 rows have, intra_class_spread: ddbench table --evaluator "
        "class_separation shows it, --format csv every metric."
    )
    assert told in render.to_markdown(board)


@pytest.mark.parametrize(
    ("records", "asked"), [(FEW, {"intra_class_spread"}), (FEW, None), (MOST, ()), (FEW[:1], ())]
)
def test_it_has_one_where_it_is_asked_for_or_most_rows_have_it(records, asked):
    board = choose_views(records, asked)[0]
    assert "intra_class_spread" in heads(board)
    assert not any("intra_class_spread" in text for text in board.remarks)


def test_a_mean_of_fewer_seeds_says_so():
    lacking = FEW[0].model_copy(update={"key": "x", "seed": 1, "metrics": [{"top1": 60.0}]})
    (row,) = [r for s in choose_views([FEW[0], lacking], None)[0].sections for r in s.rows]
    texts = [cell.text for cell in row.cells if cell is not None]
    assert any(text.endswith("(n=1)") and text.startswith("1.5") for text in texts)


def test_seeds_that_were_judged_otherwise_are_told():
    other = {**ACCURACY, "class_separation": ["c:ClassSeparation/1", {"norm": 2}]}
    changes = {"key": "x", "seed": 1, "evaluators": other}
    board = choose_views([FEW[0], FEW[0].model_copy(update=changes)], None)[0]
    (told,) = [text for text in board.remarks if "different options" in text]
    assert "seeds were judged by class_separation" in told
    assert not any("different options" in text for text in choose_views(FEW)[0].remarks)


def test_half_of_the_rows_are_not_most():
    assert "intra_class_spread" not in heads(choose_views(FEW[:2])[0])


def test_the_table_command_shows_it_when_asked(ddbench, tmp_path):
    for found in FEW:
        Records(tmp_path).put(found)
    plain = ddbench("table", "--records", tmp_path, "-f", "md")
    asked = ddbench("table", "--records", tmp_path, "-f", "md", "-e", "class_separation")
    told = [line for line in plain.out.splitlines() if "intra_class_spread" in line]
    assert [line.startswith("|") for line in told] == [False]
    assert any(line.startswith("| method") and "intra_class_spread" in line
               for line in asked.out.splitlines())  # fmt: skip
    assert "intra_class_spread_mean" in ddbench("table", "--records", tmp_path, "-f", "csv").out
    slip = ddbench("table", "--records", tmp_path, "-e", "class_separatoin")
    assert (slip.code, "'class_separation'" in slip.err) == (2, True)


def test_a_filter_that_leaves_nothing_says_what_there_is(ddbench, tmp_path):
    Records(tmp_path).put(FEW[0])
    done = ddbench("table", "--records", tmp_path, "-m", "dm")
    assert (done.code, "methods there: wmdd" in done.err) == (2, True), done.err


def test_the_pages_csv_has_every_metric():
    page = make_page([(None, found) for found in FEW])
    assert "intra_class_spread" not in heads(page.board)
    assert "intra_class_spread" in heads(page.complete)
    assert "leaderboard.csv" in to_html(page)
