"""Students that learn from the same labelled batches are trained together, with equal numbers."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ddbench.api.features import Features
from ddbench.api.recipe import Training
from ddbench.api.record import Record
from ddbench.api.types import DatasetInfo
from ddbench.pipeline import runner as workshop
from ddbench.pipeline.plan import PlannedStage, same_batches
from ddbench.pipeline.specs import Evaluate, Statistics, data_key
from ddbench.pipeline.stages import evaluate as stage
from ddbench.runtime.context import Context
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.architectures.resnet import ResNet
from ddbench_plugins.labellers.fkd import FKD

GRID = ["--method", "random", "--labels", "fkd", "--arch", "convnet3_bn,convnet3"]
GRID += ["--students", "2", "--no-reference"]


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many students each call of the stage trained."""
    found: list[int] = []
    real = workshop.evaluate

    def counted(specs: Any, *others: Any) -> Any:
        found.append(len(specs))
        return real(specs, *others)

    monkeypatch.setattr(workshop, "evaluate", counted)
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
    monkeypatch.setattr(workshop, "MOST_STUDENTS", 1)
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


def test_the_same_batches_are_those_of_one_distilled_set_and_seed(info: DatasetInfo) -> None:
    spec = Evaluate(
        data=data_key(info), student=ConvNetD(), labeller=FKD(), training=Training(epochs=2),
        holdout=0.0, holdout_every=0, seed=0, run=0, precision="fp32",
    )  # fmt: skip
    planned = PlannedStage("evaluate", spec, ("images", "teacher"))
    for change in ({"run": 3}, {"student": ResNet(18)}, {"holdout_every": 10}):
        assert same_batches(planned, replace(planned, spec=replace(spec, **change)))
    for change in (
        {"seed": 1}, {"training": Training(epochs=3)}, {"holdout": 0.2}, {"precision": "bf16"},
        {"labeller": FKD(store=True)},
    ):  # fmt: skip
        assert not same_batches(planned, replace(planned, spec=replace(spec, **change)))
    assert not same_batches(planned, replace(planned, inputs=("other images", "teacher")))


class Slower(workshop.Workshop):
    """Finds, once inside the lock, that another process has made what it wanted."""

    passes = 0

    def squeezed(self, plan: Any, teacher: Any) -> Any:
        return SimpleNamespace(key="a-teacher")

    def _pass(self, *given: Any) -> None:
        self.passes += 1


def test_statistics_of_a_faster_process_are_not_computed_again(
    cache: Cache, info: DatasetInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Statistics(data=data_key(info), statistic=Features(), precision="fp32")
    planned = PlannedStage("statistics", spec, ())
    card = {"cost": {"seconds": 1.0, "peak_bytes": None}, "lineage": {}, "report": {}}
    locked: list[str] = []

    @contextlib.contextmanager
    def lock(self: Cache, name: str) -> Iterator[None]:
        locked.append(name)
        cache.store("statistics", planned.key, {"features": torch.ones(1)}, card)
        yield

    monkeypatch.setattr(Cache, "lock", lock)
    slower = Slower(cache, Context(), lambda *told: None)
    teacher: Any = SimpleNamespace(statistics=[planned])
    found = slower.statistic(None, teacher, Features())  # type: ignore[arg-type]
    assert found.key == planned.key
    assert locked == ["statistics-a-teacher"]
    assert slower.passes == 0
