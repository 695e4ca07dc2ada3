"""`ddbench table`: which records are in it, and where it is written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from ddbench.cli.table import print_tables
from ddbench.store.records import read_record

DIGITS = Path(__file__).parents[2] / "leaderboards" / "digits" / "records"
ONE = sorted(DIGITS.glob("wmdd-*.json"))[0]


def test_a_table_is_made_of_the_folders_below_as_a_report_is(ddbench, tmp_path):
    shutil.copytree(DIGITS, tmp_path / "boards" / "digits" / "records")
    told = ddbench("table", "--records", tmp_path / "boards", "-f", "csv")
    assert told.code == 0, told.err
    assert told.out == ddbench("table", "--records", DIGITS, "-f", "csv").out


def test_reference_rows_alone_are_no_answer_to_a_method(ddbench):
    done = ddbench("table", "--records", DIGITS, "-m", "wmd")
    assert (done.code, done.out) == (2, "")
    assert "no records to tabulate" in done.err
    assert ddbench("table", "--records", DIGITS, "-m", "wmd,wmdd").code == 0


@pytest.mark.parametrize("kind", ["terminal", "md"])
def test_a_table_is_written_into_a_folder_that_is_made(ddbench, tmp_path, kind):
    path = tmp_path / "new ü" / "table.txt"
    done = ddbench("table", "--records", DIGITS, "-f", kind, "-o", path)
    assert (done.code, done.out) == (0, ""), done.err
    assert re.search(r"\d ± \d+\.\d \(3\)", path.read_text(encoding="utf-8"))
    done = ddbench("table", "--records", DIGITS, "-f", kind, "-o", path.parent)
    assert (done.code, "is a folder" in done.err) == (2, True)


def test_brackets_of_a_title_and_of_a_configuration_are_no_markup(ddbench, tmp_path, capsys):
    record = read_record(ONE)
    print_tables([record], "terminal", "Table 1 [bold] of [/two] :smile:")
    assert "Table 1 [bold] of [/two] :smile:" in capsys.readouterr().out
    raw = json.loads(ONE.read_text())
    raw["configuration"]["recipe"]["note"] = "one [red] and [/two]"
    (tmp_path / "odd.json").write_text(json.dumps(raw))
    done = ddbench("show", tmp_path / "odd.json")
    assert "one [red] and [/two]" in done.out


@pytest.mark.parametrize(
    ("change", "told"),
    [({"seed": "one"}, "seed: input should be a valid integer"), ({"extra": 1}, "extra: extra")],
)
def test_a_record_that_does_not_fit_is_told_by_its_field(ddbench, tmp_path, change, told):
    (tmp_path / "odd.json").write_text(json.dumps({**json.loads(ONE.read_text()), **change}))
    done = ddbench("table", "--records", tmp_path)
    assert done.code == 2
    assert told in done.err


@pytest.mark.parametrize("command", [("table",), ("report", "--no-images", "-o", "page.html")])
def test_a_record_that_was_altered_by_hand_is_in_no_table(command, ddbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board = Path(__file__).parents[2] / "leaderboards" / "digits" / "records"
    shutil.copytree(board, tmp_path / "records")
    path = sorted((tmp_path / "records").glob("wmdd-*"))[0]
    raw = json.loads(path.read_text())
    raw["metrics"][0]["top1"] = 99.0
    path.write_text(json.dumps(raw))
    done = ddbench(*command, "--records", tmp_path / "records")
    assert done.code == 0, done.err
    assert f"left out: {path.name} was altered" in done.err
