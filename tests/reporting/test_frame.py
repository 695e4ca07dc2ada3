"""Records as a frame: one row a student, whatever they come from, typed and documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import ddbench
from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.api.record import PublishedFigure, Record, StageCost
from ddbench.reporting.frame import COLUMNS
from ddbench.reporting.tables.aggregate import gather
from ddbench.store.records import Records

ROOT = Path(__file__).parents[2]


def record(key: str = "k", **changes: object) -> Record:
    fields = {
        "key": key, "status": "ok", "method": "wmdd", "dataset": "digits", "ipc": 10,
        "teacher": "resnet18", "student": "convnet3", "labels": "fkd", "protocol": "v1",
        "seed": 2**53 + 1, "metrics": [{"top1": 50.0}, {"top1": 60.0, "ece": 3.0}],
        "created": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    return Record(**{**fields, **changes})


def test_there_is_a_row_for_every_student():
    frame = ddbench.results([record()])
    assert list(frame.run) == [0, 1]
    assert list(frame.top1) == [50, 60]
    assert frame.ece.isna().tolist() == [True, False]
    assert set(frame.seed) == {2**53 + 1}  # no float on its way
    assert frame.created[0] == pd.Timestamp("2026-01-02T03:04:05Z")


def test_a_failed_cell_has_one_row_without_metrics():
    failed = record(status="oom", reason="no room", metrics=[], seed=1)
    frame = ddbench.results([record(key="other"), failed])
    assert frame.status.tolist() == ["ok", "ok", "oom"]
    last = frame.iloc[2]
    assert (last.reason, last.run is pd.NA) == ("no room", True)
    assert pd.isna(last.top1)
    assert pd.isna(last.seconds)  # and not 0


@pytest.mark.parametrize("records", [[], [record()], [record(ipc=None, created="", metrics=[])]])
def test_types_depend_on_no_record(records):
    frame = ddbench.results(records)
    told = frame.dtypes.astype(str)
    expected = {name: dtype for name, (dtype, _) in COLUMNS.items()}
    assert {name: told[name] for name in COLUMNS} == expected
    others = told.drop(list(COLUMNS))
    assert set(others) <= {"float64"}


def test_facts_costs_and_reports_have_columns():
    costs = [
        StageCost(stage="squeeze", key="a", seconds=2, peak_bytes=7, device="A100"),
        StageCost(stage="recover", key="b", seconds=1, iteration_seconds=0.5, device="A100"),
    ]
    one = record(
        costs=costs, claim=PublishedFigure(value=41.5), teachers=["a", "b"], ipc=None,
        environment={"commit": "c1", "dirty": True}, given={"b": "2", "a": "1"},
        reports={"teacher_top1": 90.0}, teacher_bytes=0,
    )  # fmt: skip
    row = ddbench.results([one]).iloc[0]
    assert (row.seconds, row.iteration_seconds, row.peak_bytes, row.teacher_bytes) == (3, 0.5, 7, 0)
    assert (row.device, row.commit, row.dirty, row.given) == ("A100", "c1", True, "a=1, b=2")
    assert (row.published, row.teachers, row["report.teacher_top1"]) == (41.5, "a+b", 90)
    assert row.ipc is pd.NA


def test_a_metric_with_the_name_of_a_column_hides_nothing():
    frame = ddbench.results([record(metrics=[{"top1": 1.0, "seconds": 9.0, "top5": 2.0, "a": 0}])])
    assert frame["metric.seconds"].tolist() == [9]
    assert frame.seconds.isna().all()
    assert list(frame.columns[len(COLUMNS) :]) == ["top1", "top5", "a", "metric.seconds"]


def test_a_cell_counts_once_under_one_name():
    older = record(metrics=[{"top1": 1.0}], created="2025-01-01T00:00:00Z")
    failed = record(status="error", metrics=[], created="2027-01-01T00:00:00Z")
    frame = ddbench.results([older, record(), failed, record(variant="lambda 10")])
    assert list(zip(frame.variant, frame.top1, strict=True)) == [
        ("", 50), ("", 60), ("lambda 10", 50), ("lambda 10", 60),
    ]  # fmt: skip


def test_records_come_from_a_folder_a_cache_leaderboards_or_a_file(tmp_path):
    folder = tmp_path / "boards" / "one" / "records"
    folder.mkdir(parents=True)
    path = Records(folder).put(record())
    for source in (folder, tmp_path / "boards" / "one", tmp_path, path, str(path)):
        assert len(ddbench.results(source)) == 2, source
    path.write_text(path.read_text().replace("60.0", "90.0"))
    Records(folder).put(record(key="other"))
    with pytest.warns(DDBenchWarning, match="altered"):
        assert set(ddbench.results(folder).key) == {"other"}


def test_a_folder_without_records_is_an_error(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DDBenchError, match="no records in"):
            ddbench.results(place)


def test_means_of_the_committed_boards_are_those_of_the_tables():
    folder = ROOT / "leaderboards" / "table4" / "records"
    frame = ddbench.results(folder)
    for entry in gather(Records(folder).all()):
        own = frame[frame.key.isin([r.key for r in entry.finished])]
        seeds = own.groupby("seed").top1.mean()
        top1 = entry.summarize("top1")
        assert (seeds.mean(), seeds.std(), len(seeds)) == pytest.approx(tuple(top1))


def test_every_column_is_documented():
    page = (ROOT / "docs" / "records.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", page, re.MULTILINE)
    assert {name: (dtype, meaning) for name, dtype, meaning in rows} == COLUMNS


def test_importing_the_package_loads_neither_torch_nor_pandas():
    code = (
        "import sys, ddbench\n"
        "ddbench.results\n"
        "print([name for name in ('torch', 'pandas', 'ddbench_plugins') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_has_no_other_names():
    with pytest.raises(AttributeError, match="'ddbench' has no attribute 'result'"):
        _ = ddbench.result
