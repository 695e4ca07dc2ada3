"""Committed records: whole, rebuilt into the cells that made them, and caught when altered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ddbench.api.record import Record
from ddbench.cli.reproduce import TOLERANCE
from ddbench.config.grid import Selection, expand
from ddbench.config.profiles import Profile
from ddbench.pipeline.recording import _base
from ddbench.reporting.reproduce import find_faults, plan_here, rebuild_cell, verdict
from ddbench.reporting.reproduce.parts import UnknownPartError, build_part
from ddbench.store.keys import spell
from ddbench.store.records import Records, compute_checksum, find_record_folders, read_record, seal

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


def altered(change) -> Record:
    raw = json.loads(DIGITS[0].read_text())
    change(raw)
    return Record.model_validate(raw)


def set_accuracy(raw):
    raw["metrics"][0]["top1"] += 7.7


def set_iterations(raw):
    raw["configuration"]["recipe"]["distiller"][1]["iterations"] = 4321


def set_seed(raw):
    raw["seed"] += 1


def set_key(raw):
    raw["keys"]["evaluate"] = ["0" * 20]


def set_claim(raw):
    raw["claim"] = {"value": 1.0}


@pytest.mark.parametrize("change", [set_accuracy, set_iterations, set_seed, set_key, set_claim])
def test_any_change_by_hand_breaks_the_checksum(change):
    assert any("checksum" in fault for fault in find_faults(altered(change)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_iterations, "gives another recover"),
        (set_seed, "gives another targets"),
        (set_key, "key is not that of its evaluate stages"),
        (set_accuracy, "is not a whole number of its 359 test images"),
    ],
)
def test_a_change_that_is_sealed_anew_is_found_by_keys_and_counts(change, told, registry):
    record = seal(altered(change))
    assert record.checksum == compute_checksum(record)
    faults = list(find_faults(record, plan_here(rebuild_cell(record, registry), None)))
    assert any(told in fault for fault in faults), faults


def test_a_checksum_outlives_new_fields_and_the_way_to_disk(tmp_path):
    record = altered(lambda raw: None)
    path = Records(tmp_path).put(record)
    assert read_record(path).checksum == compute_checksum(record)
    raw = json.loads(path.read_text())
    del raw["holdout"]  # a field with its default: as if it had come later
    assert compute_checksum(Record.model_validate(raw)) == raw["checksum"]


@pytest.mark.parametrize(
    ("spelt", "told"),
    [
        (["subprocess:Popen/1", {"args": "true"}], "is not installed here"),
        (["ddbench.pipeline.execute:execute/1", {}], "is not installed here"),
        (["ddbench.cache:Cache/1", {"root": "/"}], "is not installed here"),
        (["ddbench.spec:Training/9", {"epochs": 3}], "is version 1 here and 9 in the record"),
        (["ddbench.spec:Training/1", {"epochs": 3, "epoch": 3}], "has no option epoch"),
        (["ddbench.spec:Training/1", {"epochs": "many"}], "epochs cannot be 'many'"),
        (["ddbench.spec:Training/1", {}], "cannot be made of its record"),
        ("wmdd", "is no part"),
    ],
)
def test_a_record_cannot_choose_what_runs(spelt, told, registry):
    with pytest.raises(UnknownPartError, match=told):
        build_part(spelt, registry)


def test_an_altered_record_is_one_sentence_and_exit_code_1(ddbench, tmp_path):
    record = altered(set_accuracy)
    path = tmp_path / record.file_name
    path.write_text(record.model_dump_json())
    done = ddbench("reproduce", path)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "was altered after it was written" in done.err
    assert "Traceback" not in done.err


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
    record = altered(lambda raw: raw.update(status="oom"))
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
