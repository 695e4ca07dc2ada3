"""Artifacts of stages: taken from the cache, or made under a lock and stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ddbench.api.types import Tensors
from ddbench.pipeline.plan import PlannedStage
from ddbench.pipeline.results import Result
from ddbench.runtime.cost import Cost, Meter, measure
from ddbench.store.cache import Artifact, Cache
from ddbench.store.keys import Key, spell

StageDone = Callable[[str, str, float, int | None, bool], None]
"""Called with stage, key, seconds, peak bytes and whether the artifact was in the cache."""
Made = tuple[Result, Mapping[str, float]]
"""What a stage made, and figures for its report."""


class Artifacts:
    """The artifacts that one process has used; each is verified once and announced once."""

    def __init__(self, cache: Cache, device: str, stage_done: StageDone) -> None:
        self.cache = cache
        self.made: set[Key] = set()
        """Keys of artifacts that this process made rather than loaded."""
        self._device = device
        self._stage_done = stage_done
        self._loaded: dict[Key, Artifact] = {}

    def load(self, stage: PlannedStage) -> Artifact | None:
        """Returns the artifact of a stage from memory or the cache, or None."""
        if stage.key not in self._loaded:
            artifact = self.cache.load(stage.stage, stage.key)
            if artifact is None:
                return None
            self._announce(artifact, cached=True)
        return self._loaded[stage.key]

    def get(
        self,
        stage: PlannedStage,
        make: Callable[[Meter], Made],
        upstream: Callable[[], Iterable[Artifact]] = tuple,
    ) -> Artifact:
        """Loads the artifact of a stage, or makes and stores it.

        Args:
            stage: What to make.
            make: Makes it; its cost is measured.
            upstream: Gets the artifacts that the stage is built on, before the clock starts.
        """
        artifact = self.load(stage)
        if artifact is not None:
            return artifact
        above = tuple(upstream())
        with self.cache.lock(stage.key):
            artifact = self.load(stage)  # another process was faster
            if artifact is not None:
                return artifact
            with measure(self._device) as meter:
                result, report = make(meter)
            artifact = self.store(stage, result.to_tensors(), report, meter.cost, above)
        self.cache.partial(stage.stage, stage.key).clear()
        return artifact

    def store(
        self,
        stage: PlannedStage,
        tensors: Tensors,
        report: Mapping[str, float],
        cost: Cost | None,
        upstream: Iterable[Artifact],
    ) -> Artifact:
        """Writes an artifact, with the costs and reports of all that it is built on in its card."""
        assert cost is not None
        self.made.add(stage.key)
        lineage: dict[str, Any] = {}
        for above in upstream:
            lineage.update(above.card["lineage"])
            lineage[above.key] = {
                "stage": above.stage,
                "cost": above.cost,
                "report": above.card["report"],
            }
        card = {
            "spec": spell(stage.spec),
            "inputs": list(stage.inputs),
            "lineage": lineage,
            "report": dict(report),
            "cost": cost.to_json(),
        }
        artifact = self.cache.store(stage.stage, stage.key, tensors, card)
        self._announce(artifact, cached=False)
        return artifact

    def _announce(self, artifact: Artifact, cached: bool) -> None:
        self._loaded[artifact.key] = artifact
        cost = artifact.cost
        self._stage_done(artifact.stage, artifact.key, cost["seconds"], cost["peak_bytes"], cached)
