"""Entries -> what the page says of each: facets to filter by, numbers to sort by, and details."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddbench.api.record import PublishedFigure, Record
from ddbench.reporting.tables.aggregate import Entry
from ddbench.reporting.tables.cells import (
    Surroundings,
    show_gain,
    show_iteration,
    show_memory,
    show_seconds,
    show_stored,
)
from ddbench.reporting.tables.formatting import (
    MISSING,
    format_bytes,
    format_digits,
    format_signed,
    format_spread,
)
from ddbench.reporting.tables.leaderboard import group_comparable
from ddbench.reporting.tables.row_names import flatten_options
from ddbench.reporting.tables.statistics import Summary
from ddbench.reporting.tables.views import Cell, Notes
from ddbench.store.keys import key_of

FACETS = ("data set", "IPC", "method", "labels", "protocol", "architecture")


@dataclass(frozen=True, slots=True)
class Shown:
    """A text of the page and what it is sorted by; None is sorted last."""

    text: str = MISSING
    value: float | str | None = None
    tone: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedLine:
    """One record of a row."""

    seed: int
    status: str
    metrics: str
    key: str
    created: str
    again: str
    """The command that runs it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One row of the page's leaderboard: the seeds of one configuration in one setting."""

    entry: Entry
    id: str
    """Of the row in the page; the same as long as the configuration is."""
    label: str
    facets: Mapping[str, Shown]
    """By the names in `FACETS`."""
    top1: Shown
    gain: Shown
    """Over random images with the same labels."""
    paper: Shown
    gap: Shown
    """Measured minus published."""
    seconds: Shown
    memory: Shown
    stored: Shown
    """Bytes of images and labels."""
    seeds: tuple[SeedLine, ...]
    environment: Mapping[str, str]
    configuration: str
    """JSON of every option."""
    commands: tuple[str, ...]
    """As they were typed when the records were made."""
    measured: Mapping[str, str]
    """Every metric, and what the stages report."""
    costs: tuple[tuple[str, ...], ...]
    """Stage, seconds, peak memory, seconds per iteration, device."""
    remarks: tuple[str, ...] = field(default=())

    @property
    def differs(self) -> str:
        """What tells the row from others of its name."""
        return self.label.removeprefix(self.entry.name).removeprefix(", ")

    @property
    def claim(self) -> PublishedFigure | None:
        return self.entry.find_claim()

    @property
    def reference(self) -> bool:
        return self.entry.baseline

    @property
    def summary(self) -> Summary | None:
        return self.entry.summarize("top1")


def rows_of(entries: Sequence[Entry], places: Mapping[str, Path | None]) -> list[ReportRow]:
    """A row for every entry: by setting, best first, reference rows last.

    Args:
        entries: With labels, as `ddbench.reporting.tables.row_names.labelled` gives them.
        places: Record key -> its file; None for a record of the cache.
    """
    groups = group_comparable(entries)
    made = [_row(entry, groups.get(entry.setting, (entry,)), places) for entry in entries]
    return sorted(made, key=_place)


def _place(row: ReportRow) -> tuple[object, ...]:
    top1 = row.summary
    return (*row.entry.setting.order[:4], row.reference, -(top1.mean if top1 else 0.0), row.label)


def row_id(entry: Entry) -> str:
    """Of the setting and configuration, so that a link holds when seeds are added."""
    record = entry.first
    parts = (*entry.setting, record.configuration, record.method, record.variant)
    return f"row-{key_of('row', list(parts), record.student_count)[:10]}"


def _row(entry: Entry, members: Sequence[Entry], places: Mapping[str, Path | None]) -> ReportRow:
    notes = Notes()
    first = (entry.finished or entry.records)[0]
    gain = show_gain(entry, Surroundings(entries=members, notes=notes))
    if entry.setting.ipc is None:  # all images stand beside every IPC: there is no one show_gain
        gain = None
    claim = entry.find_claim()
    return ReportRow(
        entry=entry,
        id=row_id(entry),
        label=entry.label,
        facets=_facets(entry),
        top1=_top1(entry),
        gain=_shown(gain, "delta_random", "; ".join(notes.texts)),
        paper=_paper(claim),
        gap=_gap(entry, claim),
        seconds=_shown(show_seconds(entry), "total_seconds"),
        memory=_shown(show_memory(entry), "peak_bytes"),
        stored=_stored(entry),
        seeds=tuple(_seed_line(record, places.get(record.key)) for record in entry.records),
        environment=_together(record.environment for record in entry.records),
        configuration=json.dumps(first.configuration, indent=1, ensure_ascii=False),
        commands=tuple(dict.fromkeys(r.command for r in entry.records if r.command)),
        measured=_measured(entry),
        costs=tuple(_costs(first)),
        remarks=(*entry.explain_failures(), *notes.texts),
    )


def _facets(entry: Entry) -> dict[str, Shown]:
    setting = entry.setting
    held = f", {100 * setting.holdout:g} % held out" if setting.holdout else ""
    networks = setting.student
    if setting.teacher != setting.student:
        several = setting.teacher.replace("+", " + ")  # which may be broken into lines
        networks = f"{several} → {setting.student}"
    ipc = setting.ipc
    precision = "" if setting.precision == "fp32" else f", {setting.precision}"
    return {
        "data set": Shown(f"{setting.dataset}{held}", setting.dataset),
        "IPC": Shown("all" if ipc is None else str(ipc), float("inf") if ipc is None else ipc),
        "method": Shown(entry.name, entry.name),
        "labels": Shown(setting.labels, setting.labels),
        "protocol": Shown(f"{setting.protocol}{precision}", setting.protocol),
        "architecture": Shown(networks, networks),
    }


def _top1(entry: Entry) -> Shown:
    top1 = entry.summarize("top1")
    done, asked = len(entry.finished), len(entry.records)
    if top1 is None:
        return Shown(f"{entry.status} (0/{asked})", None, "bad")
    count = f"n = {done}" if done == asked else f"n = {done} of {asked}"
    return Shown(format_spread(top1.mean, top1.sd, "%"), top1.mean, hint=count)


def _paper(claim: PublishedFigure | None) -> Shown:
    if claim is None:
        return Shown()
    return Shown(format_spread(claim.value, claim.sd, "%"), claim.value, hint=claim.origin)


def _gap(entry: Entry, claim: PublishedFigure | None) -> Shown:
    top1 = entry.summarize("top1")
    if claim is None or top1 is None:
        return Shown()
    return Shown(format_signed(top1.mean - claim.value), top1.mean - claim.value)


def _shown(cell: Cell | None, number: str, hint: str = "") -> Shown:
    if cell is None:
        return Shown(hint=hint)
    value = cell.numbers.get(number)
    return Shown(cell.text, value if isinstance(value, (int, float)) else None, cell.tone, hint)


def _stored(entry: Entry) -> Shown:
    cell = show_stored(entry)
    if cell is None:
        return Shown()
    total = sum(v for v in cell.numbers.values() if isinstance(v, (int, float)))
    return Shown(
        cell.brief,
        total,
        hint=f"images + labels, and the teacher where it comes along: {cell.text}",
    )


def _seed_line(record: Record, path: Path | None) -> SeedLine:
    told = [
        f"{name} {format_spread(value, None, record.units.get(name, ''))}"
        for name in sorted({n for m in record.metrics for n in m}, key=lambda n: (n != "top1", n))
        if (value := record.metric(name)) is not None
    ]
    again = f"ddbench reproduce {record.key if path is None else shlex.quote(path.as_posix())}"
    return SeedLine(
        seed=record.seed, status=record.status, metrics=", ".join(told), key=record.key,
        created=record.created, again=again,
    )  # fmt: skip


def _together(cards: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """One card of several: a value that differs between seeds is given for each."""
    found: dict[str, dict[str, None]] = {}
    for card in cards:
        for name, value in flatten_options(card).items():
            if value != "None":
                short = name.removeprefix("packages.").removesuffix("_bytes")
                found.setdefault(short, {})[_readable(name, value)] = None
    return {name: ", ".join(values) for name, values in found.items()}


def _readable(name: str, value: str) -> str:
    return format_bytes(float(value)) if name.endswith("_bytes") and value.isdigit() else value


def _measured(entry: Entry) -> dict[str, str]:
    units: dict[str, str] = {}
    for record in entry.finished:
        for values in record.metrics:
            units.update({name: record.units.get(name, "") for name in values})
    found = {}
    for name in sorted(units, key=lambda n: (not n.startswith("top"), n)):
        summary = entry.summarize(name)
        if summary is not None:
            text = format_spread(summary.mean, summary.sd, units[name])
            found[name] = f"{text} {units[name]}".strip()
    cell = show_iteration(entry)
    if cell is not None:
        found["seconds per iteration"] = cell.text
    for name in sorted({name for r in entry.finished for name in r.reports}):
        values = [r.reports[name] for r in entry.finished if name in r.reports]
        found[name] = ", ".join(dict.fromkeys(f"{value:.4g}" for value in values))
    return found


def _costs(record: Record) -> Iterable[tuple[str, ...]]:
    for cost in record.costs:
        yield (
            cost.stage,
            format_digits(cost.seconds),
            MISSING if cost.peak_bytes is None else format_bytes(cost.peak_bytes),
            MISSING if cost.iteration_seconds is None else format_digits(cost.iteration_seconds),
            cost.device,
        )
