"""Records that were changed by hand are found out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ddbench.api.record import Record
from ddbench.reporting.reproduce import find_faults, plan_here, rebuild_cell
from ddbench.store.records import Records, compute_checksum, read_record, seal

ROOT = Path(__file__).parents[3] / "leaderboards"


DIGITS = sorted((ROOT / "digits" / "records").glob("wmdd-*.json"))


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


def test_a_checksum_outlives_new_fields_and_the_way_to_disk(tmp_path):
    record = altered(lambda raw: None)
    path = Records(tmp_path).put(record)
    assert read_record(path).checksum == compute_checksum(record)
    raw = json.loads(path.read_text())
    del raw["holdout"]  # a field with its default: as if it had come later
    assert compute_checksum(Record.model_validate(raw)) == raw["checksum"]


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


def test_an_altered_record_is_one_sentence_and_exit_code_1(ddbench, tmp_path):
    record = altered(set_accuracy)
    path = tmp_path / record.file_name
    path.write_text(record.model_dump_json())
    done = ddbench("reproduce", path)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "was altered after it was written" in done.err
    assert "Traceback" not in done.err
