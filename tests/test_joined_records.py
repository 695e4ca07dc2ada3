"""What a record keeps of an earlier one of its cell."""

from __future__ import annotations

import pytest

from ddbench.records import Record, StageCost, joined


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
    found = joined(record({"accuracy": 1, "ece": 1}, [{"top1": 50.0, "ece": 3.0}]), EARLIER)
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
    assert joined(new, earlier) == new
