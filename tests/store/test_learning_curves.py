"""Training losses on their way into a record: what is kept, and what older trials lack."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.store.records import MOST_STRETCHES, LearningCurve, Records


def test_a_short_curve_is_kept_whole():
    curve = LearningCurve.of([3.0, 1.23456789, 1e-7 / 3])
    assert (curve.epochs, curve.every, curve.ends) == (3, 1, [1, 2, 3])
    assert curve.loss == [3.0, 1.2346, 3.3333e-8]


def test_a_long_one_as_means_of_stretches():
    curve = LearningCurve.of([float(i) for i in range(250)])
    assert (curve.epochs, curve.every, len(curve.loss)) == (250, 3, 84)
    assert curve.loss[:2] == [1, 4]
    assert (curve.loss[-1], curve.ends[-2:]) == (249, [249, 250])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=700))
def test_no_epoch_is_lost(losses):
    curve = LearningCurve.of(losses)
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
