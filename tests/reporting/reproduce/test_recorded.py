"""Rows are run again from their records: cells are rebuilt, keys are equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbench.api.record import Record
from ddbench.cli.reproduce import TOLERANCE
from ddbench.config.grid import Selection, expand
from ddbench.config.profiles import Profile
from ddbench.pipeline.recording import _base
from ddbench.reporting.reproduce import find_faults, plan_here, rebuild_cell, verdict
from ddbench.store.keys import spell
from ddbench.store.records import Records, find_record_folders, read_record

ROOT = Path(__file__).parents[3] / "leaderboards"


COMMITTED = [path for folder in find_record_folders(ROOT) for path, _ in Records(folder).files()]


DIGITS = sorted((ROOT / "digits" / "records").glob("wmdd-*.json"))


def test_the_command_line_and_the_rule_agree():
    assert TOLERANCE == verdict.TOLERANCE


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem[-60:])
def test_a_committed_record_is_whole_and_spells_parts_that_exist(path, registry):
    record = read_record(path)
    assert record.checksum
    assert list(find_faults(record)) == []
    cell = rebuild_cell(record, registry)
    told = record.configuration
    assert spell(cell.recipe.distiller) == told["recipe"]["distiller"]
    assert spell(cell.recipe.matchers) == told["recipe"]["matchers"]
    assert spell(cell.recipe.regularizers) == told["recipe"]["regularizers"]
    assert spell(cell.protocol) == told["protocol"]
    assert spell(cell.student.part) == told["student"]


@pytest.mark.parametrize("path", DIGITS, ids=lambda path: path.stem[-26:])
def test_a_rebuilt_cell_has_the_keys_of_the_record(path, registry):
    record = read_record(path)
    plan = plan_here(rebuild_cell(record, registry), None)
    assert plan.key == record.key
    assert list(find_faults(record, plan)) == []


def test_any_plan_can_be_rebuilt_from_its_record(registry):
    """Ensembles, labels by a teacher of other schooling, profiles: every method, as it would be
    recorded."""
    methods = {"seeds": 1, "methods": tuple(registry.names("recipe"))}
    pair = {"seeds": 1, "teachers": ("convnet3_bn+resnet18",)}
    for choice in (methods, {**pair, "profile": Profile(name="smoke")}):
        for plan in expand(Selection(**choice), registry, None):
            told = _base(plan, "ok", "ddbench run").model_dump_json()
            record = Record.model_validate_json(told)
            cell = rebuild_cell(record, registry)
            assert plan_here(cell, None).key == plan.key, plan.cell.method
            assert cell.profile == plan.cell.profile
            assert [t.name for t in cell.teachers] == [t.name for t in plan.cell.teachers]


def test_a_whole_record_passes_the_check_without_a_run(ddbench):
    done = ddbench("reproduce", DIGITS[0], "--check")
    assert done.code == 0, done.err
    assert "the record is whole" in done.out


def test_a_damaged_record_beside_it_stops_neither_the_row_nor_a_table(ddbench, tmp_path):
    for path in DIGITS:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    broken = tmp_path / DIGITS[1].name
    broken.write_text(broken.read_text()[:200])
    (tmp_path / "notes.json").write_text("[1, 2]")
    read = ddbench("reproduce", tmp_path / DIGITS[0].name, "--check")
    tabled = ddbench("table", "--records", tmp_path, "--format", "csv")
    reported = ddbench("report", "--records", tmp_path, "--no-images", "-o", tmp_path / "page.html")
    for done in (read, tabled, reported):
        assert done.code == 0, done.err
        lines = [line for line in done.err.splitlines() if line.startswith("warning: left out: ")]
        assert len(lines) == 2
        assert all(any(name in line for line in lines) for name in (broken.name, "notes.json"))
    assert "the record is whole" in read.out
    # The record that was asked for has to be one.
    damaged = ddbench("reproduce", broken, "--check")
    assert (damaged.code, "cannot read the record" in damaged.err) == (2, True)


def test_a_failed_run_cannot_be_reproduced(ddbench, tmp_path):
    record = read_record(DIGITS[0]).model_copy(update={"status": "oom"})
    path = tmp_path / record.file_name
    path.write_text(record.model_dump_json())
    done = ddbench("reproduce", path)
    assert (done.code, "of a run that failed: oom" in done.err) == (2, True)


def test_a_tiny_row_is_run_again_on_another_seed(ddbench, tiny, tmp_path):
    flags = ["-d", "digits", "--ipc", 1, "-m", "random", "--no-reference", *tiny]
    done = ddbench("run", *flags)
    assert done.code == 0, done.err
    (path,) = (tmp_path / "cache" / "records").glob("*.json")
    done = ddbench("reproduce", path, "--seed", 5, "--device", "cpu", "--tolerance", 100)
    assert done.code == 0, done.err
    assert "holds: committed" in done.out
    assert "(seed 5)" in done.out
    again = [r for r in Records(path.parent).all() if r.seed == 5]
    assert len(again) == 1
    assert again[0].configuration == read_record(path).configuration
    done = ddbench("reproduce", path, "--seed", 5, "--device", "cpu", "--tolerance", 0)
    one, other = (r.metrics[0]["top1"] for r in (read_record(path), again[0]))
    assert done.code == (0 if one == other else 1)
    assert "nothing was computed" in done.err
