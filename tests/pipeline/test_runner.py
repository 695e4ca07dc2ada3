"""What is computed in one pass, and what a faster process has made, is not made again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ddbench.api.features import Features
from ddbench.config.grid import Selection, expand
from ddbench.pipeline.runner import Runner
from ddbench.registry import Registry
from ddbench.runtime.context import Context
from ddbench.store.cache import Artifact, Cache


class Slower(Runner):
    """Finds, once inside the lock, that another process has made what it wanted."""

    passes = 0

    def squeeze(self, plan: Any, teacher: Any) -> Any:
        return Artifact("a-teacher", "squeeze", Path(), {})

    def _compute_statistics(self, *given: Any) -> None:
        self.passes += 1


def test_statistics_of_a_faster_process_are_not_computed_again(
    cache: Cache, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plan,) = expand(Selection(seeds=1, reference=False), registry, None)
    teacher = plan.teachers[0]
    planned = next(s for s in teacher.statistics if s.spec.statistic == Features())
    card = {"cost": {"seconds": 1.0, "peak_bytes": None}, "lineage": {}, "report": {}}
    locked: list[str] = []

    @contextlib.contextmanager
    def lock(self: Cache, name: str) -> Iterator[None]:
        locked.append(name)
        cache.store("statistics", planned.key, {"features": torch.ones(1)}, card)
        yield

    monkeypatch.setattr(Cache, "lock", lock)
    slower = Slower(cache, Context(), lambda *told: None)
    found = slower.compute_statistic(plan, teacher, Features())
    assert found.key == planned.key
    assert locked == ["statistics-a-teacher"]
    assert slower.passes == 0
