"""Lists what a grid would do: its stages, which are cached, and what is shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ddbench.pipeline.plan import Plan
from ddbench.pipeline.specs import STAGES


@dataclass(frozen=True, slots=True)
class StageCount:
    """How often a stage is asked for, how many different ones that is, how many are there."""

    stage: str
    asked: int
    distinct: int
    cached: int

    @property
    def to_run(self) -> int:
        return self.distinct - self.cached


def count_stages(plans: Sequence[Plan], has: Callable[[str, str], bool]) -> list[StageCount]:
    """Counts by stage, in running order. Asks for existence only; reads no artifact."""
    asked: Counter[str] = Counter()
    keys: dict[str, set[str]] = {stage: set() for stage in STAGES}
    for plan in plans:
        for stage in plan.stages():
            asked[stage.stage] += 1
            keys[stage.stage].add(stage.key)
    return [
        StageCount(stage, asked[stage], len(found), sum(has(stage, key) for key in found))
        for stage, found in keys.items()
        if found
    ]
