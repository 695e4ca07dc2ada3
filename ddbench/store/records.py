"""One schema-versioned JSON record a cell: what was asked, what came out, what it cost."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.store.files import write_whole

RECORD_SCHEMA = 1
Status = Literal["ok", "incompatible", "diverged", "oom", "error"]


class StageCost(BaseModel):
    """What one stage cost when it was made."""

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
"""Numbers of a learning curve in a record at most."""


class LearningCurve(BaseModel):
    """Training loss of a student by epoch. Test data is looked at once, when training is over."""

    model_config = ConfigDict(extra="forbid")

    epochs: int
    every: int
    """Epochs that one number is the mean of; the last may be of fewer."""
    loss: list[float]

    @classmethod
    def of(cls, losses: Sequence[float]) -> LearningCurve:
        """The curve of the mean losses of all epochs, to five digits."""
        every = max(math.ceil(len(losses) / MOST_STRETCHES), 1)
        starts = range(0, len(losses), every)
        means = (fmean(losses[start : start + every]) for start in starts)
        return cls(epochs=len(losses), every=every, loss=[float(f"{m:.5g}") for m in means])

    @property
    def ends(self) -> list[int]:
        """How many epochs are done at the end of each stretch."""
        return [min((i + 1) * self.every, self.epochs) for i in range(len(self.loss))]


class PublishedFigure(BaseModel):
    """A claim that belongs to the cell: top-1 in percent, seconds or bytes."""

    model_config = ConfigDict(extra="forbid")

    value: float
    sd: float | None = None
    source: str = ""
    setting: str = ""
    metric: str = "top1"


class Record(BaseModel):
    """The result of one cell, success or failure. Written once, derived from, never edited."""

    # JSON has no infinity, Python's has: a record with one can still be read.
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    schema_version: int = RECORD_SCHEMA
    key: str
    """Of the cell: hash of everything that decides its numbers."""
    status: Status
    reason: str = ""
    """Why it failed: problem, facts and hint."""
    method: str
    title: str = ""
    dataset: str
    holdout: float = 0.0
    """Above 0: judged on held-out training images, not on test data."""
    ipc: int | None
    teacher: str
    """Whom students learn from; the names of an ensemble are joined by `+`."""
    teachers: list[str] = Field(default_factory=list)
    """All that were trained for the cell, for images and labels."""
    student: str
    labels: str
    """Name of the labeller."""
    protocol: str
    seed: int
    baseline: bool = False
    variant: str = ""
    """Of an ablation: the matcher and regularizer, or the suite's name for it."""
    profile: str = ""
    """Under whose name options were changed: `smoke` is no result."""
    precision: str = "fp32"
    configuration: dict[str, Any] = Field(default_factory=dict)
    """Every option, given or defaulted."""
    given: dict[str, str] = Field(default_factory=dict)
    """What was changed against the recipe, as the user wrote it."""
    metrics: list[dict[str, float]] = Field(default_factory=list)
    """One mapping a student."""
    learning_curves: list[LearningCurve] = Field(default_factory=list)
    """Of the students, as far as their trials hold one: trials of before there were any do not."""
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
    """Of the teacher's weights, where it is asked while students train; else 0."""
    keys: dict[str, list[str]] = Field(default_factory=dict)
    """Artifact keys by stage."""
    claim: PublishedFigure | None = None
    """Of the accuracy."""
    cost_claims: list[PublishedFigure] = Field(default_factory=list)
    """Of seconds and bytes."""
    environment: dict[str, Any] = Field(default_factory=dict)
    command: str = ""
    created: str = ""
    checksum: str = ""
    """Of all the rest, as it was written; "" in records of before there was one."""

    def metric(self, name: str) -> float | None:
        """Mean over the students."""
        values = [m[name] for m in self.metrics if name in m]
        return fmean(values) if values else None

    @property
    def seconds(self) -> float:
        """All stages, each once, cached or not."""
        return sum(cost.seconds for cost in self.costs)

    @property
    def peak_bytes(self) -> int | None:
        return max((c.peak_bytes for c in self.costs if c.peak_bytes is not None), default=None)

    def cost_of(self, stage: str) -> StageCost | None:
        return next((cost for cost in self.costs if cost.stage == stage), None)

    @property
    def file_name(self) -> str:
        ipc = "all" if self.ipc is None else f"ipc{self.ipc}"
        words = [self.variant or self.method, *([self.profile] if self.profile else [])]
        words += [self.dataset, ipc, self.student, f"seed{self.seed}"]
        text = "-".join(re.sub(r"[^A-Za-z0-9_.@+]+", "_", w).strip("_")[-48:] for w in words)
        return f"{text}-{self.key}.json"


class UnreadableError(DDBenchError):
    """A file that is no record."""


class Records:
    """The records of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Record | None:
        """The record of a cell, or None; one that cannot be read is set aside, with a warning.

        Raises:
            DDBenchError: it is of a newer schema.
        """
        for path in self.folder.glob(f"*-{key}.json"):
            try:
                return read_record(path)
            except UnreadableError as fault:
                aside = path.with_suffix(".unreadable")
                path.replace(aside)
                said = f"{fault.problem}: {'; '.join(fault.facts)}; set aside as {aside.name}"
                warnings.warn(said, DDBenchWarning, stacklevel=2)
        return None

    def put(self, record: Record) -> Path:
        """Writes a record whole, in the place of an older one of the same cell.

        Raises:
            OSError: it cannot be written.
        """
        path = self.folder / record.file_name
        stamped = record.model_copy(update={"created": record.created or now()})
        write_whole(path, sealed(stamped).model_dump_json(indent=1) + "\n")
        for old in self.folder.glob(f"*-{record.key}.json"):
            if old != path:
                old.unlink()
        return path

    def all(self) -> Iterator[Record]:
        """Every record, oldest name first."""
        for _, record in self.files():
            yield record

    def files(self) -> Iterator[tuple[Path, Record]]:
        """Every record with its file."""
        for path in sorted(self.folder.glob("*.json")):
            yield path, read_record(path)

    def readable(self) -> Iterator[tuple[Path, Record]]:
        """Those that can be read, with their files; a warning for each of the others."""
        for path in sorted(self.folder.glob("*.json")):
            try:
                record = read_record(path)
            except DDBenchError as fault:
                said = f"left out: {'; '.join((fault.problem, *fault.facts))}"
                warnings.warn(said, DDBenchWarning, stacklevel=2)
                continue
            yield path, record


def joined(record: Record, earlier: Record) -> Record:
    """The record with what evaluators that were not asked this time had found in the same trials.

    Not where a student was trained anew, nor where an evaluator has changed: which of the earlier
    numbers are still true is not known then.
    """
    if record.status != "ok" or earlier.status != "ok":
        return record
    anew = any(not cost.cached for cost in record.costs if cost.stage == "evaluate")
    changed = any(
        earlier.evaluators[name] != record.evaluators[name]
        for name in earlier.evaluators.keys() & record.evaluators.keys()
    )
    if anew or changed or len(earlier.metrics) != len(record.metrics):
        return record
    return record.model_copy(
        update={
            "keys": {**earlier.keys, **record.keys},
            "metrics": [
                {**old, **new} for old, new in zip(earlier.metrics, record.metrics, strict=True)
            ],
            "evaluators": {**earlier.evaluators, **record.evaluators},
            "directions": {**earlier.directions, **record.directions},
            "units": {**earlier.units, **record.units},
        }
    )


def checksum_of(record: Record) -> str:
    """SHA-256 of everything that the record says besides its checksum.

    Fields with their default are left out, so that a field which comes later changes nothing.
    """
    said = record.model_dump(mode="json", exclude={"checksum"}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def is_altered(record: Record) -> bool:
    """Whether it was changed after it was written; one without a checksum cannot tell."""
    return bool(record.checksum) and record.checksum != checksum_of(record)


def sealed(record: Record) -> Record:
    """With its checksum: what is changed in the file by hand shows."""
    return record.model_copy(update={"checksum": checksum_of(record)})


def record_folders(folder: Path) -> list[Path]:
    """The folder itself, or the folders of records below it, as in `leaderboards/`."""
    if any(folder.glob("*.json")):
        return [folder]
    return sorted({path.parent for path in folder.rglob("records/*.json")})


def read_record(path: Path) -> Record:
    """A record from a file.

    Raises:
        UnreadableError: not a record.
        DDBenchError: of a newer schema.
    """
    try:
        raw = json.loads(path.read_text())
        version = raw.get("schema_version") if isinstance(raw, Mapping) else None
        if isinstance(version, int) and version > RECORD_SCHEMA:
            raise DDBenchError(
                f"{path.name} has record schema {version}; this ddbench reads {RECORD_SCHEMA}",
                hint="update ddbench",
            )
        return Record.model_validate(raw)
    except (ValueError, ValidationError, OSError) as fault:
        raise UnreadableError(
            f"cannot read the record {path}", _said(fault),
            hint="move it away: the next run of its cell writes it again from the cache",
        ) from fault  # fmt: skip


def _said(fault: Exception) -> str:
    """One line; of a value that does not fit, where it stands."""
    if not isinstance(fault, ValidationError):
        return str(fault).splitlines()[0]
    first, *others = fault.errors()
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    more = f", and {len(others)} more" if others else ""
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}{more}"


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
