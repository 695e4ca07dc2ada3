"""What is computed in one pass, and what a faster process has made, is not made again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ddbench.api.features import Features
from ddbench.api.types import DatasetInfo
from ddbench.pipeline.plan import PlannedStage
from ddbench.pipeline.runner import Runner
from ddbench.pipeline.specs import Statistics, data_key
from ddbench.runtime.context import Context
from ddbench.store.cache import Cache


class Slower(Runner):
    """Finds, once inside the lock, that another process has made what it wanted."""

    passes = 0

    def squeeze(self, plan: Any, teacher: Any) -> Any:
        return SimpleNamespace(key="a-teacher")

    def _compute_statistics(self, *given: Any) -> None:
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
    found = slower.compute_statistic(None, teacher, Features())  # type: ignore[arg-type]
    assert found.key == planned.key
    assert locked == ["statistics-a-teacher"]
    assert slower.passes == 0
