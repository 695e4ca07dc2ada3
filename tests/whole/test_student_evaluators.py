"""Evaluators that ask the student itself: it is stored, or trained again, the very same one."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from ddbench.pipeline import students
from ddbench.pipeline.stages.evaluate import warn_unless_same
from ddbench.store.cache import Cache
from ddbench.store.records import Records

RANDOM = ["-m", "random", "--labels", "hard", "--no-reference"]


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def trained(monkeypatch):
    """How many students were trained."""
    count: Counter[str] = Counter()
    kept = students.evaluate

    def counted(*arguments):
        count["students"] += 1
        return kept(*arguments)

    monkeypatch.setattr(students, "evaluate", counted)
    return count


def test_a_student_is_trained_once_more_for_an_old_trial_and_then_kept(
    ddbench, alone, cache, trained
):
    short = ["--set", "evaluate.epochs=20", "--set", "squeeze.epochs=3"]  # numbers mean nothing
    flags = [*alone, *RANDOM, *short]
    assert ddbench("run", *flags).code == 0
    (before,) = Records(cache.root / "records").all()
    assert trained["students"] == 1
    added = ddbench("run", *flags, "-e", "corruptions,calibration_error,coverage")
    assert added.code == 0, added.err
    assert "warning" not in added.err
    assert trained["students"] == 2  # only its logits had been kept
    # Coverage looks through a teacher that the cell asks nothing: that is another cell.
    (after,) = (r for r in Records(cache.root / "records").all() if r.key != before.key)
    assert after.keys["evaluate"] == before.keys["evaluate"]
    assert after.metrics[0].items() > before.metrics[0].items()
    assert 0 <= after.metrics[0]["corrupted"] <= 100
    assert 0 < after.metrics[0]["coverage"] <= 1
    # Other strengths, and what is no longer needed thrown away: the student stays.
    assert ddbench("cache", "gc").code == 0
    assert ddbench("run", *flags, "-e", "corruptions[noise=0]").code == 0
    assert trained["students"] == 2

    shutil.rmtree(cache.root)
    at_once = ddbench("run", *flags, "-e", "corruptions,calibration_error,coverage")
    assert at_once.code == 0, at_once.err
    assert trained["students"] == 3
    (fresh,) = Records(cache.root / "records").all()
    assert fresh.metrics == after.metrics


def test_students_that_were_trained_at_once_are_made_again_one_by_one_to_the_bit(
    ddbench, alone, cache, trained, monkeypatch
):
    same = []
    monkeypatch.setattr(
        students, "warn_unless_same", lambda *logits: same.append(torch.equal(*logits))
    )
    torch.set_num_threads(2)
    try:
        flags = [*alone, *RANDOM, "--students", "2"]
        assert ddbench("run", *flags).code == 0
        (trial, _) = [path for stage, _, path in cache.entries() if stage == "evaluate"]
        assert load_file(trial / "tensors.safetensors")["threads"] == 1
        added = ddbench("run", *flags, "-e", "corruptions")
    finally:
        torch.set_num_threads(1)
    assert added.code == 0, added.err
    assert trained["students"] == 3
    assert same == [True, True]


def test_a_student_that_comes_out_otherwise_is_warned_of():
    judged = torch.eye(4)
    with pytest.warns(UserWarning, match=r"answers 50\.0 %"):
        warn_unless_same(judged, judged[[0, 1, 3, 2]])


def test_bytes_count_the_teacher_where_it_has_to_come_along(ddbench, tiny, alone, cache):
    flags = ["-m", "random", "--no-reference"]
    assert ddbench("run", *alone, *flags, "--labels", "hard").code == 0
    asked = ddbench("run", *tiny, *flags, "--labels", "fkd", "--format", "csv")
    assert asked.code == 0, asked.err
    found = {r.labels: r for r in Records(cache.root / "records").all()}
    weights = [path for stage, _, path in cache.entries() if stage == "squeeze"]
    assert found["hard"].teacher_bytes == 0
    assert found["fkd"].teacher_bytes == (weights[0] / "tensors.safetensors").stat().st_size
    assert found["fkd"].image_bytes == 10 * 8 * 8
    told = ddbench("table", "--format", "md").out
    assert "stored: images + labels + the teacher" in told
    assert " + 0 B" not in told
