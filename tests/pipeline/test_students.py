"""Students that learn from the same labelled batches are trained together, with equal numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ddbench.api.record import Record
from ddbench.pipeline import students
from ddbench.pipeline.stages import evaluate as stage
from ddbench.store.cache import Cache
from ddbench.store.records import Records

GRID = ["--method", "random", "--labels", "fkd", "--arch", "convnet3_bn,convnet3"]
GRID += ["--students", "2", "--no-reference"]


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many students each call of the stage trained."""
    found: list[int] = []
    real = students.evaluate

    def counted(specs: Any, *others: Any) -> Any:
        found.append(len(specs))
        return real(specs, *others)

    monkeypatch.setattr(students, "evaluate", counted)
    return found


def records(cache: Cache) -> dict[str, Record]:
    return {record.student: record for record in Records(cache.root / "records").all()}


def logits(cache: Cache) -> dict[str, torch.Tensor]:
    found = {}
    for name, key, _ in cache.entries():
        if name == "evaluate":
            artifact = cache.load(name, key)
            assert artifact is not None
            found[key] = artifact.tensors()["logits"]
    return found


def test_students_and_architectures_share_batches_and_keep_their_numbers(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, groups: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert ddbench("run", *tiny, *GRID).code == 0
    together, shared = records(cache), logits(cache)
    assert groups == [4]
    costs = [c for r in together.values() for c in r.costs if c.stage == "evaluate"]
    assert len({cost.key for cost in costs}) == 4
    assert not any(cost.cached for cost in costs)

    shutil.rmtree(cache.root / "artifacts" / "evaluate")
    shutil.rmtree(cache.root / "records")
    monkeypatch.setattr(students, "MOST_STUDENTS", 1)
    groups.clear()
    assert ddbench("run", *tiny, *GRID).code == 0
    assert groups == [1, 1, 1, 1]
    alone = logits(cache)
    assert alone.keys() == shared.keys()
    for key, found in alone.items():
        assert torch.equal(found, shared[key])
    for name, record in records(cache).items():
        assert (record.key, record.metrics) == (together[name].key, together[name].metrics)


def test_a_student_that_cannot_be_built_fails_alone(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, groups: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    real = stage.build_network

    def refusing(part: Any, *others: Any) -> nn.Module:
        if part.norm == "instance":
            raise RuntimeError("no such network")
        return real(part, *others)

    monkeypatch.setattr(stage, "build_network", refusing)
    assert ddbench("run", *tiny, *GRID).code == 1
    assert groups == [4, 2]  # again in its own cell, which says why
    found = records(cache)
    assert found["convnet3_bn"].status == "ok"
    assert found["convnet3"].status == "error"
    assert "no such network" in found["convnet3"].reason
