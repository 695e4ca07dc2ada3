"""Records of several seeds -> one entry each: what a row of a table is made of."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ddbench.api.record import PublishedFigure, Record
from ddbench.reporting.tables.formatting import join_words, shorten
from ddbench.reporting.tables.statistics import Summary, summarize
from ddbench.reporting.tables.views import Kind


class Setting(NamedTuple):
    """The terms that rows have in common which may be compared."""

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
        """Key for sorting: all images after every IPC, the teacher's own architecture first."""
        return (
            natural_key(self.dataset),
            self.holdout,
            self.ipc is None,
            self.ipc or 0,
            natural_key(self.teacher),
            self.student != self.teacher,
            natural_key(self.student),
            self.labels,
            self.protocol,
            self.precision,
        )


def natural_key(text: str) -> list[tuple[int, str]]:
    """Returns a key that sorts `resnet50` before `resnet101`."""
    return [(int(p) if p.isdecimal() else -1, p) for p in re.split(r"([0-9]+)", text)]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The seeds of one method in one setting: what a row of a leaderboard is made of."""

    setting: Setting
    name: str
    """Name of the method or the variant."""
    records: tuple[Record, ...]
    """One record a seed, by seed."""
    label: str = ""
    """The name, and what tells it from entries of the same name."""
    older: int = 0
    """Number of records left out because their seed has a newer one."""
    finished: tuple[Record, ...] = field(init=False)
    failed: tuple[Record, ...] = field(init=False)

    def __post_init__(self) -> None:
        ok = tuple(r for r in self.records if r.status == "ok")
        object.__setattr__(self, "finished", ok)
        object.__setattr__(self, "failed", tuple(r for r in self.records if r.status != "ok"))

    @property
    def first(self) -> Record:
        """The record of the lowest seed."""
        return self.records[0]

    @property
    def baseline(self) -> bool:
        """True for random images, and for all images."""
        return self.first.baseline

    @property
    def kind(self) -> Kind:
        """The kind of its row in a table."""
        if self.baseline:
            return "reference"
        return "entry" if self.finished else "failed"

    @property
    def status(self) -> str:
        """`ok`, `partial`, or how all seeds failed."""
        if not self.failed:
            return "ok"
        return "partial" if self.finished else "/".join(sorted({r.status for r in self.failed}))

    @property
    def given(self) -> Mapping[str, str]:
        """Options given by the user; the shortest, where seeds were asked for in other words."""
        return min((r.given for r in self.records), key=lambda g: (len(g), sorted(g.items())))

    def collect(self, metric: str) -> dict[int, float]:
        """Returns the metric of every finished seed that has it, by seed."""
        values = {r.seed: r.metric(metric) for r in self.finished}
        return {seed: value for seed, value in values.items() if value is not None}

    def summarize(self, metric: str) -> Summary | None:
        """Returns mean and spread of a metric over the seeds; None where no seed has it."""
        if metric not in self._summaries:
            self._summaries[metric] = summarize(self.collect(metric).values())
        return self._summaries[metric]

    @functools.cached_property
    def _summaries(self) -> dict[str, Summary | None]:
        """Summaries by metric, kept: every row asks for every other one's to find the best."""
        return {}

    def find_claim(self, metric: str = "top1") -> PublishedFigure | None:
        """Returns the published figure of a metric, or None."""
        claims = [c for r in self.records for c in (r.claim, *r.cost_claims) if c is not None]
        return next((claim for claim in claims if claim.metric == metric), None)

    def explain_failures(self) -> list[str]:
        """Returns a sentence for every way in which seeds failed."""
        seeds: dict[str, list[int]] = {}
        for record in self.failed:
            reason = shorten(record.reason) or "no reason recorded"
            seeds.setdefault(f"{record.status}: {reason}", []).append(record.seed)
        return [
            f"seed{'s' if len(which) > 1 else ''} {join_words(which)} {reason}"
            for reason, which in seeds.items()
        ]

    @functools.cached_property
    def terms(self) -> str:
        """Labels, training, student and data, as one text."""
        configuration = self.first.configuration
        labeller = configuration.get("recipe", {}).get("labeller")
        parts = [configuration.get(name) for name in ("student", "fingerprint")]
        training = _drop_warmup(configuration.get("protocol"))
        return json.dumps([labeller, training, *parts], sort_keys=True)


def _drop_warmup(protocol: Any) -> Any:
    """Returns a spelt protocol without `warmup`, which is for architectures that ask for it alone:
    records of before there was one are of students that ask for none."""
    if not isinstance(protocol, list):
        return protocol
    kind, options = protocol
    return [kind, {name: value for name, value in options.items() if name != "warmup"}]


def gather(records: Iterable[Record]) -> list[Entry]:
    """Gathers records into one entry per setting and configuration, whatever their order.

    Records of one configuration belong together under whatever name they were run: `WMDD` and an
    ablation's `wasserstein + class_batch_norm` can be the same cell, and the same record of two
    leaderboards.
    """
    groups: dict[tuple[Setting, tuple[object, ...]], list[Record]] = {}
    for record in records:
        setting = Setting(*(getattr(record, name) for name in Setting._fields))
        groups.setdefault((setting, _identify(record)), []).append(record)
    entries = [_make_entry(setting, group) for (setting, _), group in groups.items()]
    entries += _repeat_references(entries)
    return sorted(entries, key=lambda e: (e.setting.order, e.name, e.first.key, e.first.seed))


def _repeat_references(entries: Sequence[Entry]) -> list[Entry]:
    """Returns reference rows that ask no teacher once more, for rows of other teachers than the one
    that their record names."""
    settings = {entry.setting for entry in entries if not entry.baseline}
    there = {(entry.name, entry.setting) for entry in entries if entry.baseline}
    repeated = []
    for entry in entries:
        asks = any("squeeze" in record.keys or not record.keys for record in entry.records)
        if asks or not entry.baseline:
            continue
        own = entry.setting
        beside = {s if own.ipc else s._replace(ipc=None) for s in settings}
        for teacher in sorted({setting.teacher for setting in settings}):
            moved = own._replace(teacher=teacher)
            if moved in beside and (entry.name, moved) not in there:
                repeated.append(replace(entry, setting=moved))
    return repeated


def _identify(record: Record) -> tuple[object, ...]:
    """Returns what records have in common that are seeds of one configuration."""
    students = record.student_count
    if "recipe" in record.configuration:
        recipe = dict(record.configuration["recipe"])
        if record.keys and ("squeeze" not in record.keys or "looked" in record.keys):
            # No teacher was asked, but by evaluators: how one is trained says nothing.
            recipe.pop("squeeze", None)
        return students, json.dumps({**record.configuration, "recipe": recipe}, sort_keys=True)
    given = tuple(sorted(record.given.items()))
    return students, record.method, record.variant, record.title, given


def _make_entry(setting: Setting, records: Sequence[Record]) -> Entry:
    """Makes an entry; of several records of a seed the best-ended counts, then the newest.

    A method's own title goes before a variant's name.
    """
    ordered = sorted(records, key=lambda r: (r.status == "ok", r.created, r.key))
    newest = {record.seed: record for record in ordered}
    chosen = tuple(newest[seed] for seed in sorted(newest))
    titles = [r.title or r.method for r in records if not r.variant]
    return Entry(
        setting=setting,
        name=min(titles or [r.variant for r in records]),
        records=chosen,
        older=len({tuple(r.keys.get("evaluate", ())) or r.key for r in records}) - len(chosen),
    )


def same_terms(a: Entry, b: Entry) -> bool:
    """Tells whether two entries may be compared: equal labels, training and teacher.

    Names are equal within a setting; here it is what the names stood for when the records were
    made. A row that uses no teacher can be compared whatever the teacher.
    """
    if a.terms != b.terms:
        return False
    first, second = _list_teachers(a.first), _list_teachers(b.first)
    return not first or not second or first == second


def _list_teachers(record: Record) -> list[str]:
    """Returns the keys of the teachers that label, which need not be those that make images."""
    return list(record.configuration.get("labelled_by") or record.keys.get("squeeze", []))
