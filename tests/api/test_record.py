"""A record: what it says of its students and costs, and the curves that it keeps of training."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ddbench.api.record import MOST_STRETCHES, LearningCurve, Record, StageCost
from ddbench.store.records import Records

FIELDS = {
    "key": "k1", "status": "ok", "method": "wmdd", "dataset": "digits", "ipc": None,
    "teacher": "t", "student": "s/2", "labels": "hard", "protocol": "p", "seed": 3,
}  # fmt: skip


def test_a_metric_is_the_mean_over_the_students_that_have_it():
    record = Record(**FIELDS, metrics=[{"top1": 50.0, "ece": 1.0}, {"top1": 60.0}])
    assert (record.metric("top1"), record.metric("ece"), record.metric("none")) == (55, 1, None)


def test_costs_are_those_of_all_stages():
    costs = [
        StageCost(stage="squeeze", key="a", seconds=2, peak_bytes=7),
        StageCost(stage="recover", key="b", seconds=1, cached=True),
    ]
    record = Record(**FIELDS, costs=costs)
    assert (record.seconds, record.peak_bytes) == (3, 7)
    assert record.cost_of("recover") is record.costs[1]
    assert record.cost_of("relabel") is None
    assert Record(**FIELDS).peak_bytes is None


def test_a_device_has_one_name_whatever_older_records_call_it():
    names = ("CPU, 1 threads", "CPU, 1 thread", "", "A100")
    costs = [StageCost(stage="s", key=name, seconds=1, device=name) for name in names]
    assert Record(**FIELDS, costs=costs).devices == ["A100", "CPU, 1 thread"]


def test_a_failed_record_knows_how_many_students_were_planned():
    assert Record(**FIELDS).student_count == 1
    assert Record(**FIELDS, metrics=[{}, {}]).student_count == 2
    assert Record(**FIELDS, keys={"evaluate": ["a", "b", "c"]}).student_count == 3


def test_a_file_name_tells_what_the_cell_is_of():
    assert Record(**FIELDS).file_name == "wmdd-digits-all-s_2-seed3-k1.json"
    smoke = Record(**{**FIELDS, "ipc": 1}, variant="a + b", profile="smoke")
    assert smoke.file_name == "a_+_b-smoke-digits-ipc1-s_2-seed3-k1.json"


def test_a_field_that_no_record_has_is_refused():
    with pytest.raises(ValidationError, match="acuracy"):
        Record(**FIELDS, acuracy=1.0)


def test_a_short_curve_is_kept_whole():
    curve = LearningCurve.from_losses([3.0, 1.23456789, 1e-7 / 3])
    assert (curve.epochs, curve.every, curve.ends) == (3, 1, [1, 2, 3])
    assert curve.loss == [3.0, 1.2346, 3.3333e-8]


def test_a_long_one_as_means_of_stretches():
    curve = LearningCurve.from_losses([float(i) for i in range(250)])
    assert (curve.epochs, curve.every, len(curve.loss)) == (250, 3, 84)
    assert curve.loss[:2] == [1, 4]
    assert (curve.loss[-1], curve.ends[-2:]) == (249, [249, 250])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=700))
def test_no_epoch_is_lost(losses):
    curve = LearningCurve.from_losses(losses)
    assert len(curve.loss) <= MOST_STRETCHES
    lengths = np.diff([0, *curve.ends])
    assert lengths.sum() == len(losses)
    assert lengths @ np.array(curve.loss) == pytest.approx(sum(losses), rel=1e-4, abs=1e-6)


def test_records_hold_the_curve_of_every_student_and_none_of_older_trials(ddbench, tiny, cache):
    grid = ["run", "--method", "random", "--no-reference", *tiny, "--students", 2]
    assert ddbench(*grid).code == 0
    folder = Records(cache.root / "records")
    (record,) = folder.all()
    assert [curve.epochs for curve in record.learning_curves] == [2, 2]
    assert all(0 < loss < 20 for curve in record.learning_curves for loss in curve.loss)

    (key, _) = record.keys["evaluate"]
    trial = cache.load("evaluate", key)
    tensors = {n: t for n, t in trial.tensors().items() if n != "training_loss"}
    shutil.rmtree(trial.path)
    card = {n: trial.card[n] for n in ("spec", "inputs", "lineage", "report", "cost")}
    cache.store("evaluate", key, tensors, card)
    assert ddbench(*grid, "-e", "calibration_error").code == 0  # read off the trials anew
    (again,) = folder.all()
    assert again.learning_curves == record.learning_curves[1:]
    assert [m["top1"] for m in again.metrics] == [m["top1"] for m in record.metrics]
