"""A record: what was asked of a cell, what came out and what it cost. Stored as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RECORD_SCHEMA = 1
Status = Literal["ok", "incompatible", "diverged", "oom", "error"]


class StageCost(BaseModel):
    """The cost of making one artifact of a stage."""

    model_config = ConfigDict(extra="forbid")

    stage: str
    key: str
    seconds: float
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    device: str = ""
    iteration_seconds: float | None = None
    iteration_sd: float | None = None
    iterations: int = 0
    cached: bool = False
    """Taken from the cache in the run that wrote the record; the cost is that of its making."""


MOST_STRETCHES = 100
"""Most numbers that a record keeps of a learning curve."""


class LearningCurve(BaseModel):
    """A student's training loss by epoch. Test data is looked at once, when training is over."""

    model_config = ConfigDict(extra="forbid")

    epochs: int
    every: int
    """Number of epochs that one number is the mean of; the last may be of fewer."""
    loss: list[float]

    @classmethod
    def from_losses(cls, losses: Sequence[float]) -> LearningCurve:
        """Makes the curve of the mean losses of all epochs, to five digits."""
        every = max(math.ceil(len(losses) / MOST_STRETCHES), 1)
        starts = range(0, len(losses), every)
        means = (fmean(losses[start : start + every]) for start in starts)
        return cls(epochs=len(losses), every=every, loss=[float(f"{m:.5g}") for m in means])

    @property
    def ends(self) -> list[int]:
        """Number of epochs that are done at the end of each stretch."""
        return [min((i + 1) * self.every, self.epochs) for i in range(len(self.loss))]


class PublishedFigure(BaseModel):
    """A claim that belongs to the cell: top-1 in percent, seconds or bytes."""

    model_config = ConfigDict(extra="forbid")

    value: float
    sd: float | None = None
    source: str = ""
    setting: str = ""
    metric: str = "top1"

    @property
    def origin(self) -> str:
        """Source and setting, as far as they are told: `WMDD paper, Table 4; ResNet-18`."""
        return "; ".join(text for text in (self.source, self.setting) if text)


class Record(BaseModel):
    """The result of one cell, success or failure. Written once, derived from, never edited."""

    # JSON has no infinity, Python's has: a record with one can still be read.
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    schema_version: int = RECORD_SCHEMA
    key: str
    """Hash of everything that decides the numbers of the cell."""
    status: Status
    reason: str = ""
    """Problem, facts and hint of a cell that failed."""
    method: str
    title: str = ""
    dataset: str
    holdout: float = 0.0
    """Share of the training images that was held out to judge students on; 0 for test data."""
    ipc: int | None
    teacher: str
    """Name of the teacher that students learn from; names of an ensemble are joined by `+`."""
    teachers: list[str] = Field(default_factory=list)
    """Names of all teachers that were trained for the cell, for images and labels."""
    student: str
    labels: str
    """Name of the labeller."""
    protocol: str
    seed: int
    baseline: bool = False
    variant: str = ""
    """Name of a row of an ablation: its matcher and regularizer, or the suite's name for it."""
    profile: str = ""
    """Name of the profile that changed options: a row of `smoke` is no result."""
    precision: str = "fp32"
    configuration: dict[str, Any] = Field(default_factory=dict)
    """Every option, given or defaulted."""
    given: dict[str, str] = Field(default_factory=dict)
    """Options changed against the recipe, as the user wrote them."""
    metrics: list[dict[str, float]] = Field(default_factory=list)
    """Metric -> value, one mapping a student."""
    learning_curves: list[LearningCurve] = Field(default_factory=list)
    """Curves of the students whose trials hold one: trials of before there were any do not."""
    evaluators: dict[str, Any] = Field(default_factory=dict)
    """Spelling of every evaluator that has been run."""
    directions: dict[str, bool] = Field(default_factory=dict)
    """Metric -> whether higher is better; without those that are neither better high nor low."""
    units: dict[str, str] = Field(default_factory=dict)
    reports: dict[str, float] = Field(default_factory=dict)
    """Figures of the stages: teacher accuracy, transport objective."""
    costs: list[StageCost] = Field(default_factory=list)
    image_bytes: int | None = None
    label_bytes: int | None = None
    teacher_bytes: int | None = None
    """Size of the teacher's weights where it is asked while students train, else 0."""
    keys: dict[str, list[str]] = Field(default_factory=dict)
    """Artifact keys by stage."""
    claim: PublishedFigure | None = None
    """Published accuracy."""
    cost_claims: list[PublishedFigure] = Field(default_factory=list)
    """Published seconds and bytes."""
    environment: dict[str, Any] = Field(default_factory=dict)
    command: str = ""
    created: str = ""
    checksum: str = ""
    """SHA-256 of all the rest as it was written; "" in records of before there was one."""

    def metric(self, name: str) -> float | None:
        """Returns the mean of a metric over the students that have it, or None."""
        values = [m[name] for m in self.metrics if name in m]
        return fmean(values) if values else None

    @property
    def seconds(self) -> float:
        """Seconds of all stages, each once, cached or not."""
        return sum(cost.seconds for cost in self.costs)

    @property
    def peak_bytes(self) -> int | None:
        """Highest peak memory of all stages; None where none was measured."""
        return max((c.peak_bytes for c in self.costs if c.peak_bytes is not None), default=None)

    @property
    def devices(self) -> list[str]:
        """Names of the devices that stages ran on, sorted."""
        # Older records have "1 threads".
        names = {c.device.replace(" 1 threads", " 1 thread") for c in self.costs if c.device}
        return sorted(names)

    @property
    def student_count(self) -> int:
        """Number of students trained on the distilled set; of a failed record, those planned."""
        return len(self.keys.get("evaluate", ())) or len(self.metrics) or 1

    def cost_of(self, stage: str) -> StageCost | None:
        """Returns the cost of a stage, or None where the cell had none of it."""
        return next((cost for cost in self.costs if cost.stage == stage), None)

    @property
    def file_name(self) -> str:
        """Name of its file in a folder of records."""
        ipc = "all" if self.ipc is None else f"ipc{self.ipc}"
        words = [self.variant or self.method, *([self.profile] if self.profile else [])]
        words += [self.dataset, ipc, self.student, f"seed{self.seed}"]
        text = "-".join(re.sub(r"[^A-Za-z0-9_.@+]+", "_", w).strip("_")[-48:] for w in words)
        return f"{text}-{self.key}.json"
