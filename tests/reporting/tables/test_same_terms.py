"""Which rows may be compared with random images, and how their machines are named."""

from __future__ import annotations

import pytest

from ddbench.api.record import Record, StageCost
from ddbench.reporting.tables.aggregate import gather, same_terms
from ddbench.reporting.tables.cells import list_devices


def record(method: str, protocol: dict[str, object], device: str = "CPU, 1 thread") -> Record:
    return Record(
        key=method, status="ok", method=method, dataset="digits", ipc=1, teacher="t", student="s",
        labels="hard", protocol="v1", seed=0, metrics=[{"top1": 50.0}],
        configuration={"protocol": ["ddbench.spec:Protocol/1", protocol]},
        costs=[StageCost(stage="evaluate", key="e", seconds=1, device=device)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "same"),
    [
        ({"epochs": 100}, True),
        ({"epochs": 100, "warmup": True}, True),  # of a student that asks for none
        ({"epochs": 300}, False),
        ({"epochs": 100, "holdout": 0.2}, False),
    ],
)
def test_rows_of_equal_training_are_compared(theirs, same):
    one, other = (
        gather([record(*given)])[0] for given in (("wmdd", {"epochs": 100}), ("random", theirs))
    )
    assert same_terms(one, other) is same
    assert same_terms(other, one) is same


def test_a_machine_has_one_name_whatever_the_record_calls_it():
    records = [
        record("a", {}),
        record("b", {}, "CPU, 1 threads"),
        record("c", {}, "CPU, 2 threads"),
    ]
    assert list_devices(gather(records)) == ["CPU, 1 thread", "CPU, 2 threads"]
