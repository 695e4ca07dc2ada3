"""Records of several seeds -> one entry each, with means, spreads and paired differences."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ddbench.api.record import Record
from ddbench.reporting.tables.statistics import Summary, summarize


class Setting(NamedTuple):
    """What rows that may be compared have in common."""

    dataset: str
    holdout: float
    ipc: int | None
    teacher: str
    student: str
    labels: str
    protocol: str
    precision: str

    @property
    def order(self) -> tuple[object, ...]:
        """For sorting: all images after every IPC, the teacher's own architecture first."""
        return (
            natural(self.dataset),
            self.holdout,
            self.ipc is None,
            self.ipc or 0,
            natural(self.teacher),
            self.student != self.teacher,
            natural(self.student),
            self.labels,
            self.protocol,
            self.precision,
        )


def natural(text: str) -> list[tuple[int, str]]:
    """For sorting `resnet50` before `resnet101`."""
    return [(int(p) if p.isdecimal() else -1, p) for p in re.split(r"([0-9]+)", text)]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The seeds of one method in one setting: what a row of a leaderboard is made of."""

    setting: Setting
    name: str
    """Of the method or the variant."""
    records: tuple[Record, ...]
    """One a seed, by seed."""
    label: str = ""
    """The name, and what tells it from entries of the same name."""
    older: int = 0
    """Records of a seed that has a newer one, left out."""
    finished: tuple[Record, ...] = field(init=False)
    failed: tuple[Record, ...] = field(init=False)

    def __post_init__(self) -> None:
        ok = tuple(r for r in self.records if r.status == "ok")
        object.__setattr__(self, "finished", ok)
        object.__setattr__(self, "failed", tuple(r for r in self.records if r.status != "ok"))

    @property
    def first(self) -> Record:
        return self.records[0]

    @property
    def baseline(self) -> bool:
        return self.first.baseline

    @property
    def given(self) -> Mapping[str, str]:
        """The shortest, where seeds were asked for in different words."""
        return min((r.given for r in self.records), key=lambda g: (len(g), sorted(g.items())))

    def by_seed(self, metric: str) -> dict[int, float]:
        found = {r.seed: r.metric(metric) for r in self.finished}
        return {seed: value for seed, value in found.items() if value is not None}

    def summary(self, metric: str) -> Summary | None:
        if metric not in self._summaries:
            self._summaries[metric] = summarize(self.by_seed(metric).values())
        return self._summaries[metric]

    @functools.cached_property
    def _summaries(self) -> dict[str, Summary | None]:
        """Every row asks for every other one's: which is the best?"""
        return {}

    @functools.cached_property
    def terms(self) -> str:
        """Labels, training, student and data, as one text."""
        return _terms(self.first)


def setting_of(record: Record) -> Setting:
    return Setting(*(getattr(record, name) for name in Setting._fields))


def gather(records: Iterable[Record]) -> list[Entry]:
    """One entry per setting and configuration, whatever the order of the records.

    Records of one configuration belong together under whatever name they were run: `WMDD` and an
    ablation's `wasserstein + class_batch_norm` can be the same cell, and the same record of two
    leaderboards.
    """
    groups: dict[tuple[Setting, tuple[object, ...]], list[Record]] = {}
    for record in records:
        groups.setdefault((setting_of(record), _identity(record)), []).append(record)
    found = [_entry(setting, group) for (setting, _), group in groups.items()]
    found += _references_without_teacher(found)
    return sorted(found, key=lambda e: (e.setting.order, e.name, e.first.key, e.first.seed))


def _references_without_teacher(entries: Sequence[Entry]) -> list[Entry]:
    """Reference rows that ask no teacher, beside rows of another one than their record names."""
    settings = {entry.setting for entry in entries if not entry.baseline}
    there = {(entry.name, entry.setting) for entry in entries if entry.baseline}
    found = []
    for entry in entries:
        asks = any("squeeze" in record.keys or not record.keys for record in entry.records)
        if asks or not entry.baseline:
            continue
        own = entry.setting
        beside = {s if own.ipc else s._replace(ipc=None) for s in settings}
        for teacher in sorted({setting.teacher for setting in settings}):
            moved = own._replace(teacher=teacher)
            if moved in beside and (entry.name, moved) not in there:
                found.append(replace(entry, setting=moved))
    return found


def _identity(record: Record) -> tuple[object, ...]:
    students = record.student_count
    if "recipe" in record.configuration:
        recipe = dict(record.configuration["recipe"])
        if record.keys and ("squeeze" not in record.keys or "looked" in record.keys):
            # No teacher was asked, but by evaluators: how one is trained says nothing.
            recipe.pop("squeeze", None)
        return students, json.dumps({**record.configuration, "recipe": recipe}, sort_keys=True)
    return (
        students,
        record.method,
        record.variant,
        record.title,
        tuple(sorted(record.given.items())),
    )


def _entry(setting: Setting, records: Sequence[Record]) -> Entry:
    """Of several records of a seed the best-ended counts, then the newest."""
    ordered = sorted(records, key=lambda r: (r.status == "ok", r.created, r.key))
    newest = {record.seed: record for record in ordered}
    chosen = tuple(newest[seed] for seed in sorted(newest))
    return Entry(
        setting=setting,
        name=_name(records),
        records=chosen,
        older=len({tuple(r.keys.get("evaluate", ())) or r.key for r in records}) - len(chosen),
    )


def _name(records: Sequence[Record]) -> str:
    """A method's own title goes before a variant's name."""
    titled = sorted(r.title or r.method for r in records if not r.variant)
    return titled[0] if titled else min(r.variant for r in records)


def same_terms(a: Entry, b: Entry) -> bool:
    """Whether a difference between the two means anything: equal labels, training and teacher.

    Names are equal within a setting; here it is what the names stood for when the records were
    made. A row that uses no teacher can be compared whatever the teacher.
    """
    if a.terms != b.terms:
        return False
    teachers = [_learnt_from(entry.first) for entry in (a, b)]
    return not all(teachers) or teachers[0] == teachers[1]


def _learnt_from(record: Record) -> tuple[str, ...]:
    """Keys of the teachers that label, which may be others than those that images are made by."""
    return tuple(record.configuration.get("labelled_by") or record.keys.get("squeeze", ()))


def _terms(record: Record) -> str:
    configuration = record.configuration
    recipe = configuration.get("recipe", {})
    parts = [configuration.get(name) for name in ("student", "fingerprint")]
    return json.dumps(
        [recipe.get("labeller"), _training(configuration.get("protocol")), *parts], sort_keys=True
    )


def _training(protocol: Any) -> Any:
    """A protocol but for `warmup`, which gives one to architectures that ask for it alone: records
    of before there were any are of students that ask for none."""
    if not isinstance(protocol, list):
        return protocol
    kind, options = protocol
    return [kind, {name: value for name, value in options.items() if name != "warmup"}]
