"""Records that belong together become one entry, whatever their order and names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.api.record import Record, StageCost
from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.aggregate import gather, same_terms
from tests.doubles.records import cell, configured, numbers, part, record, rows


def test_a_reference_that_asks_no_teacher_stands_beside_the_rows_of_every_teacher():
    hard = {"labels": "hard", "keys": {"recover": ["r"], "evaluate": ["e"]}}
    taught = {**hard, "keys": {**hard["keys"], "squeeze": ["s"]}}
    entries = gather([
        record("wmdd", 50, teacher="a", **taught),
        record("wmdd", 60, teacher="b", **taught),
        record("random", 40, teacher="a", **hard),
        record("full", 90, ipc=None, teacher="a", **hard),
    ])  # fmt: skip
    found = {(e.name, e.setting.teacher) for e in entries}
    assert found == {(m, t) for m in ("wmdd", "random", "full") for t in "ab"}
    own = gather([
        record("wmdd", 50, teacher="b", **taught), record("random", 40, teacher="a", **taught)
    ])  # fmt: skip
    assert len(own) == 2


_GRID = [
    *(record(m, 40 + 7.31 * s + i, s, dataset=d, ipc=ipc)
      for i, m in enumerate(("wmdd", "sre2l", "random")) for s in range(3)
      for d in ("digits", "imagenette@64") for ipc in (1, 10)),
    *(record("full", 90 + s, s, ipc=None) for s in range(2)),
    *(record("wmdd", 55 + s, s, ipc=10, given={"a": "1"}, configuration=configured(a=1))
      for s in range(3)),
    record("dm", status="diverged", reason="loss is not a number"),
]  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.permutations(_GRID))
def test_the_order_of_records_does_not_matter(shuffled):
    assert choose_views(shuffled) == choose_views(_GRID)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)))
def test_of_records_of_one_seed_the_newest_that_finished_counts(order):
    made = [
        *(record("wmdd", 10.0 * i, 0, created=f"2026-01-0{i}", key=f"k{i}") for i in range(1, 5)),
        record("wmdd", 1, 0, created="2026-02-01", status="oom", key="k8"),
        record("wmdd", 60, 1, key="k9"),
    ]
    view = choose_views([made[i] for i in order])[0]
    assert numbers(rows(view)["wmdd"])["top1_mean"] == 50
    assert any("4 older records" in text for text in view.remarks)


def test_how_a_teacher_is_trained_does_not_part_rows_that_asked_none():
    def trained(epochs, seed, **keys):
        configuration = configured()
        configuration["recipe"]["squeeze"] = part("Training", epochs=epochs)
        return record(seed=seed, configuration=configuration, keys={"recover": ["r"], **keys})

    assert len(gather([trained(8, 0), trained(18, 1)])) == 1
    assert len(gather([trained(8, 0, squeeze=["a"]), trained(18, 1, squeeze=["b"])])) == 2


def test_one_configuration_is_one_row_under_whatever_names_it_was_run():
    view = choose_views([
        record("wmdd", 50, 0, title="WMDD"),
        record("wmdd", 52, 1, variant="wasserstein + class_batch_norm"),
    ])[0]  # fmt: skip
    assert cell(view, "WMDD", "top-1").text == "51.0 ± 1.4 (2)"


def test_a_record_of_two_leaderboards_is_one_row_under_the_methods_title():
    twice = [record("wmdd", 50, 0, title="WMDD"), record("wmdd", 50, 0, variant="layer 18")]
    for found in (twice, twice[::-1]):
        assert list(rows(choose_views(found)[0])) == ["WMDD"]


def test_students_of_one_distilled_set_are_averaged_before_seeds():
    made = [
        record("wmdd", 0, s, metrics=[{"top1": 40.0 + s}, {"top1": 50.0 + s}]) for s in range(2)
    ]
    view = choose_views(made)[0]
    assert cell(view, "wmdd", "top-1").text == "45.5 ± 0.7 (2)"
    assert "the mean of 2 students" in view.remarks[0]
    assert gather(made)[0].collect("top1") == {0: 45.0, 1: 46.0}


def trained(method: str, protocol: dict[str, object], device: str = "CPU, 1 thread") -> Record:
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
        gather([trained(*given)])[0] for given in (("wmdd", {"epochs": 100}), ("random", theirs))
    )
    assert same_terms(one, other) is same
    assert same_terms(other, one) is same
