"""What a record keeps of an earlier one of its cell, and what no record may hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
import torch

from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.api.record import Record, StageCost
from ddbench.api.roles import Evaluator
from ddbench.api.types import Metric
from ddbench.pipeline import execute as execution
from ddbench.pipeline import students
from ddbench.pipeline.plan import Plan
from ddbench.pipeline.scoring import judge
from ddbench.runtime.context import Context
from ddbench.store.records import Records, merge_earlier, read_folder, read_record
from ddbench.testing import tiny_trial
from ddbench_plugins.evaluators.accuracy import Accuracy


def record(evaluators: dict[str, object], metrics: list[dict[str, float]], **changes) -> Record:
    fields = {
        "key": "k", "status": "ok", "method": "wmdd", "dataset": "digits", "ipc": 1,
        "teacher": "t", "student": "s", "labels": "hard", "protocol": "p", "seed": 0,
        "evaluators": evaluators, "metrics": metrics,
        "units": {name: "%" for found in metrics for name in found},
        "costs": [StageCost(stage="evaluate", key="e", seconds=1, cached=True)],
    }  # fmt: skip
    return Record(**{**fields, **changes})


EARLIER = record({"accuracy": 1, "coverage": 1}, [{"top1": 50.0, "coverage": 0.5}])


def test_what_other_evaluators_found_stays():
    found = merge_earlier(record({"accuracy": 1, "ece": 1}, [{"top1": 50.0, "ece": 3.0}]), EARLIER)
    assert found.metrics == [{"top1": 50.0, "coverage": 0.5, "ece": 3.0}]
    assert found.evaluators == {"accuracy": 1, "coverage": 1, "ece": 1}
    assert set(found.units) == {"top1", "coverage", "ece"}


@pytest.mark.parametrize(
    ("changes", "earlier"),
    [
        ({"costs": [StageCost(stage="evaluate", key="e", seconds=1)]}, EARLIER),  # trained anew
        ({"evaluators": {"accuracy": 2}}, EARLIER),
        ({"metrics": [{"top1": 50.0}] * 2}, EARLIER),
        ({"status": "error", "metrics": []}, EARLIER),
        ({}, record({"coverage": 1}, [{"coverage": 0.5}], status="error")),
    ],
)
def test_nothing_stays_that_may_no_longer_be_true(changes, earlier):
    new = record({"accuracy": 1}, [{"top1": 50.0}]).model_copy(update=changes)
    assert merge_earlier(new, earlier) == new


def test_a_finished_result_outlives_an_evaluator_that_fails(cache, registry, monkeypatch):
    records = Records(cache.root / "records")
    records.put(EARLIER)
    failed = EARLIER.model_copy(update={"status": "error", "metrics": []})
    monkeypatch.setattr(students, "Students", lambda *arguments: None)
    monkeypatch.setattr(execution, "run_cell", lambda *arguments: failed)
    cell = SimpleNamespace(method="wmdd", seed=0, dataset=SimpleNamespace(name="d"))
    plan = Mock(spec=Plan, key="k", cell=cell)
    outcome = execution.execute([plan], {"broken": Accuracy()}, registry, cache, Context())
    assert outcome.failed == [failed]
    assert records.get("k").metrics == EARLIER.metrics


class Odd(Evaluator):
    """Says what it is told to."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("odd", ""),)

    said: Any = None

    def evaluate(self, trial: object) -> Mapping[str, float]:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"odd": math.nan}, "reported odd = nan"),
        ({"odd": "9"}, "reported odd = '9'"),
        ({"odd": None}, "reported odd = None"),
        ({"even": 1.0}, "reported even"),
        (None, "returned NoneType"),
        (KeyError("bins"), "failed"),
    ],
)
def test_what_is_no_finite_number_of_its_own_is_refused_by_name(said, told):
    with pytest.raises(DDBenchError, match=f"evaluator 'odd' {told}"):
        judge("odd", Odd(said), tiny_trial())


def test_a_tensor_of_no_dimension_is_a_number():
    assert judge("odd", Odd({"odd": torch.tensor(2.5)}), tiny_trial()) == {"odd": 2.5}


def test_a_record_with_an_infinite_report_can_be_read(tmp_path):
    told = EARLIER.model_copy(update={"reports": {"objective": math.inf, "other": math.nan}})
    found = read_record(Records(tmp_path).put(told))
    assert found.reports["objective"] == math.inf
    assert math.isnan(found.reports["other"])


def test_records_are_read_from_a_folder_or_from_those_below_it(tmp_path):
    for number, name in enumerate(("b", "a")):
        folder = tmp_path / name / "records"
        folder.mkdir(parents=True)
        Records(folder).put(EARLIER.model_copy(update={"key": f"k{number}"}))
    (tmp_path / "a" / "card.json").write_text("{}")  # lies in no folder of records
    assert [record.key for _, record in read_folder(tmp_path)] == ["k1", "k0"]
    ((path, record),) = read_folder(tmp_path / "b" / "records")
    assert (path.name, record.key) == (record.file_name, "k0")
    assert list(read_folder(tmp_path / "nowhere")) == []


def test_what_cannot_be_read_or_was_altered_is_left_out_with_a_warning(tmp_path):
    records = Records(tmp_path)
    records.put(EARLIER.model_copy(update={"key": "k1"}))
    path = records.put(EARLIER)
    path.write_text(path.read_text().replace("50.0", "90.0"))
    (tmp_path / "empty.json").write_text("{}")
    with pytest.warns(DDBenchWarning) as told:
        assert [record.key for _, record in read_folder(tmp_path)] == ["k1"]
    said = sorted(str(warning.message) for warning in told)
    assert ["left out: cannot read the record" in said[0], "was altered" in said[1]] == [True] * 2
