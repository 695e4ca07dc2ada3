"""Committed pages are what their records say, and committed records are whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import mean, stdev

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.reporting import leaderboards as boards
from ddbench.store.records import Records, read_record, seal

ROOT = Path(__file__).parents[2] / "leaderboards"
BOARDS = boards.find_boards(ROOT)


@pytest.mark.parametrize("page", sorted(boards.render_pages(ROOT)), ids=lambda p: p.parent.name)
def test_a_committed_page_is_rendered_from_the_records(page):
    hint = "stale: run `ddbench leaderboard render`"
    assert page.read_text() == boards.render_pages(ROOT)[page], hint


@pytest.mark.parametrize("folder", BOARDS, ids=lambda folder: folder.name)
def test_committed_records_pass_the_check(folder, registry):
    assert list(boards.check(folder, registry, None)) == []


@pytest.fixture
def board(tmp_path) -> Path:
    """A copy of the digits board with a page of its own."""
    shutil.copytree(ROOT / "digits", tmp_path / "boards" / "digits")
    page = "# Ours\n\n<!-- board: digits -->\n<!-- end of board -->\n"
    (tmp_path / "boards" / "README.md").write_text(page)
    return tmp_path / "boards" / "digits"


def one(board: Path) -> Path:
    return sorted((board / "records").glob("wmdd-*.json"))[0]


def change(path: Path, sealed: bool = True, **fields: object) -> None:
    record = read_record(path).model_copy(update=fields)
    path.write_text((seal(record) if sealed else record).model_dump_json())


def test_render_fills_the_page_and_a_changed_record_makes_it_stale(ddbench, board):
    root = board.parent
    assert ddbench("leaderboard", "render", root, "--check").code == 1
    assert ddbench("leaderboard", "render", root).code == 0
    found = [read_record(path) for path in sorted((board / "records").glob("wmdd-*.json"))]
    top1 = [record.metric("top1") for record in found]
    row = f"| WMDD | {mean(top1):.1f} ± {stdev(top1):.1f} ({len(top1)}) |"
    assert row in (root / "README.md").read_text()
    assert ddbench("leaderboard", "render", root, "--check").code == 0
    path = one(board)
    path.unlink()
    done = ddbench("leaderboard", "render", root, "--check")
    assert done.code == 1
    assert done.err.splitlines() == [f"stale: {board / 'table.md'}", f"stale: {root / 'README.md'}"]


def test_a_page_must_have_a_block_for_every_folder(board):
    (board.parent / "README.md").write_text("# Ours\n")
    with pytest.raises(DDBenchError, match="do not agree about digits"):
        boards.render_pages(board.parent)


def test_an_empty_board_is_told(ddbench, board):
    for path in (board / "records").iterdir():
        path.unlink()
    done = ddbench("leaderboard", "render", board.parent)
    assert (done.code, "has no records" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"status": "diverged"}, "is of a run that failed (diverged)"),
        ({"holdout": 0.2}, "was judged on held-out training images"),
        ({"command": "python mine.py"}, "names no command that made it"),
        ({"command": "ddbench run /home/me/mine.toml"}, "by its place on one machine"),
        ({"environment": {}}, "says nothing of the versions"),
        ({"costs": []}, "says nothing of what its stages cost"),
        ({"metrics": [{"top1": 77.7}]}, "is not a whole number of its 359 test images"),
        ({"metrics": [{"top1": 120.0}]}, "which is no percentage"),
        ({"metrics": []}, "has no top-1 accuracy"),
        ({"seed": 7}, "is misnamed"),
        ({"seed": 7}, "gives another targets"),
        ({"configuration": {}}, "cannot be run again here: its configuration lacks recipe"),
    ],
)
def test_the_check_says_what_is_wrong(board, registry, fields, told):
    path = one(board)
    change(path, **fields)
    faults = list(boards.check(board, registry, None))
    assert any(fault.startswith(f"{path} ") and told in fault for fault in faults), faults


def test_the_check_wants_checksums_that_fit(board, registry):
    path = one(board)
    change(path, sealed=False, checksum="")
    assert any("has no checksum" in fault for fault in boards.check(board, registry, None))
    change(path, sealed=False, checksum="0" * 64)
    assert any("was altered after" in fault for fault in boards.check(board, registry, None))


def test_the_check_refuses_strange_files_and_double_cells(board, registry):
    path = one(board)
    shutil.copy(path, path.with_name("copy.json"))
    (board / "records" / "notes.txt").write_text("")
    (board / "records" / "half.json").write_text(path.read_text()[:99])
    faults = "\n".join(boards.check(board, registry, None))
    for told in ("is of the same cell as", "is no record", "half.json cannot be read"):
        assert told in faults


def test_the_command_counts_or_complains(ddbench, board):
    assert ddbench("leaderboard", "render", board.parent).code == 0
    done = ddbench("leaderboard", "check", board.parent)
    assert (done.code, done.out) == (0, "9 records in 1 leaderboard are whole\n"), done.err
    change(one(board), command="")
    done = ddbench("leaderboard", "check", board.parent)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert ddbench("leaderboard", "check", board.parent.parent / "nowhere").code == 2


def test_a_record_is_added_with_its_checksum_and_its_table(ddbench, board, tmp_path):
    path = one(board)
    change(path, sealed=False, checksum="")
    done = ddbench("leaderboard", "add", tmp_path / "new", path)
    assert done.code == 0, done.err
    (added,) = Records(tmp_path / "new" / "records").all()
    assert added == seal(read_record(path))
    assert "WMDD" in (tmp_path / "new" / "table.md").read_text()
    raw = json.loads(path.read_text())
    raw["key"] = "0" * 20
    path.write_text(json.dumps(raw))
    done = ddbench("leaderboard", "add", tmp_path / "new", path)
    assert (done.code, "was altered" in done.err) == (2, True)


SUITE = """
dataset = ["digits"]
ipc = [1]
teacher = ["convnet3_bn"]
arch = ["convnet3_bn"]
protocol = "{folder}/tiny.toml"
seeds = 1
reference = false
set = {{ teacher = {{ width = 16 }}, student = {{ width = 16 }}, squeeze = {{ epochs = 1 }} }}
variant = [{{ name = "drawn", method = "random" }}, {{ name = "far apart", method = "k_center" }}]
"""


@pytest.mark.usefixtures("tiny")
def test_a_suites_finished_cells_are_added_under_its_names(ddbench, tmp_path):
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE.format(folder=tmp_path))
    words = "leaderboard", "add", tmp_path / "board", "--suite", suite
    done = ddbench(*words)
    assert (done.code, "is finished" in done.err) == (2, True)
    assert ddbench("run", suite, "--device", "cpu", "--precision", "fp32").code == 0
    assert ddbench(*words).code == 0
    added = list(Records(tmp_path / "board" / "records").all())
    assert sorted(record.variant for record in added) == ["drawn", "far apart"]
    assert all(record.checksum for record in added)
    shutil.rmtree(tmp_path / "board")
    (altered,) = (tmp_path / "cache" / "records").glob("drawn-*.json")
    change(altered, sealed=False, metrics=[{"top1": 99.0}])
    done = ddbench(*words)
    assert (done.code, f"left out: {altered.name}" in done.err) == (0, True)
    assert [r.variant for r in Records(tmp_path / "board" / "records").all()] == ["far apart"]


def test_a_record_of_a_failed_run_is_not_added(ddbench, board, tmp_path):
    path = one(board)
    change(path, status="diverged", reason="nan", metrics=[])
    done = ddbench("leaderboard", "add", tmp_path / "new", path)
    assert done.code == 2
    assert "is of a run that failed (diverged)" in done.err
    assert not (tmp_path / "new").exists()


def test_nothing_to_add_says_what_to_name(ddbench, tmp_path):
    done = ddbench("leaderboard", "add", tmp_path / "board")
    assert (done.code, "--suite" in done.err) == (2, True)
