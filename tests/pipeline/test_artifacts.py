"""An artifact is made once: from memory, from the cache, or under a lock, with its lineage."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from ddbench.api.features import Features
from ddbench.api.types import DatasetInfo
from ddbench.pipeline.artifacts import Artifacts, Made
from ddbench.pipeline.plan import PlannedStage
from ddbench.pipeline.results import NetworkWeights
from ddbench.pipeline.specs import Statistics, Targets, data_key
from ddbench.runtime.cost import Meter
from ddbench.store.cache import Cache
from ddbench_plugins.matchers.wasserstein import BarycenterTarget


@pytest.fixture
def told() -> list[tuple[Any, ...]]:
    """What observers were told of."""
    return []


@pytest.fixture
def artifacts(cache: Cache, told: list[tuple[Any, ...]]) -> Artifacts:
    return Artifacts(cache, "cpu", lambda *event: told.append(event))


@pytest.fixture
def above(info: DatasetInfo) -> PlannedStage:
    spec = Statistics(data=data_key(info), statistic=Features(), precision="fp32")
    return PlannedStage("statistics", spec, ())


@pytest.fixture
def below(above: PlannedStage) -> PlannedStage:
    spec = Targets(target=BarycenterTarget(), counts=(1,), seed=0)
    return PlannedStage("targets", spec, (above.key,))


def one(meter: Meter) -> Made:
    return NetworkWeights({"x": torch.ones(1)}), {"figure": 2.0}


def refuse(meter: Meter) -> Made:
    pytest.fail("made again")


def test_an_artifact_is_made_once_and_announced_once(
    artifacts: Artifacts, above: PlannedStage, cache: Cache, told: list[tuple[Any, ...]]
) -> None:
    assert artifacts.load(above) is None
    made = artifacts.get(above, one)
    assert artifacts.get(above, refuse) is made
    assert artifacts.made == {above.key}
    other = Artifacts(cache, "cpu", lambda *event: told.append(event))
    assert torch.equal(other.get(above, refuse).tensors()["x"], torch.ones(1))
    assert not other.made
    assert [(stage, key, cached) for stage, key, _, _, cached in told] == [
        ("statistics", above.key, False), ("statistics", above.key, True),
    ]  # fmt: skip


def test_a_card_tells_what_is_above_whose_cost_it_does_not_count(
    artifacts: Artifacts, above: PlannedStage, below: PlannedStage
) -> None:
    def slow(meter: Meter) -> Made:
        time.sleep(0.2)
        return one(meter)

    found = artifacts.get(below, one, lambda: [artifacts.get(above, slow)])
    lineage = found.card["lineage"]
    assert lineage.keys() == {above.key}
    assert lineage[above.key]["report"] == {"figure": 2.0}
    assert lineage[above.key]["cost"]["seconds"] >= 0.2 > found.cost["seconds"]


def test_nothing_above_is_asked_for_where_an_artifact_lies(
    artifacts: Artifacts, above: PlannedStage
) -> None:
    artifacts.get(above, one)
    artifacts.get(above, refuse, lambda: pytest.fail("asked for"))


def test_unfinished_work_goes_once_the_artifact_is_stored(
    artifacts: Artifacts, above: PlannedStage, cache: Cache
) -> None:
    partial = cache.partial(above.stage, above.key)
    partial.put(0, {"group": torch.ones(1)})
    artifacts.get(above, one)
    assert partial.get(0) is None
