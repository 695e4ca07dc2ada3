"""Entries -> rows of the page: facets to filter by, numbers to sort by, and details."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    """A text of the page and the value that it is sorted by; None is sorted last."""

    text: str = MISSING
    value: int | float | str | None = None
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
    """Id of the row in the page; the same as long as the configuration is."""
    facets: Mapping[str, Shown]
    """Facets by the names in `FACETS`."""
    top1: Shown
    gain: Shown
    """Gain over random images with the same labels."""
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
    """Commands as they were typed when the records were made."""
    measured: Mapping[str, str]
    """Every metric, and the figures that stages report."""
    costs: tuple[tuple[str, ...], ...]
    """Stage, seconds, peak memory, seconds per iteration, device."""
    remarks: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name, and what tells the row from others of its name."""
        return self.entry.label

    @property
    def differs(self) -> str:
        """Options that tell the row from others of its name."""
        return self.label.removeprefix(self.entry.name).removeprefix(", ")

    @property
    def claim(self) -> PublishedFigure | None:
        """Published top-1."""
        return self.entry.find_claim()

    @property
    def reference(self) -> bool:
        """True for random images, and for all images."""
        return self.entry.baseline

    @property
    def summary(self) -> Summary | None:
        """Mean and spread of top-1."""
        return self.entry.summarize("top1")


def make_rows(entries: Sequence[Entry], places: Mapping[str, Path | None]) -> list[ReportRow]:
    """Makes a row for every entry: by setting, best first, reference rows last.

    Args:
        entries: With labels, as `ddbench.reporting.tables.row_names.label_entries` gives them.
        places: Record key -> its file; None for a record of the cache.
    """
    groups = group_comparable(entries)
    rows = [_make_row(entry, groups.get(entry.setting, (entry,)), places) for entry in entries]
    return sorted(rows, key=_rank_key)


def _rank_key(row: ReportRow) -> tuple[object, ...]:
    top1 = row.summary
    return (*row.entry.setting.order[:4], row.reference, -(top1.mean if top1 else 0.0), row.label)


def _make_id(entry: Entry) -> str:
    """Makes an id of setting and configuration, so that a link holds when seeds are added."""
    record = entry.first
    parts = (*entry.setting, record.configuration, record.method, record.variant)
    return f"row-{key_of('row', list(parts), record.student_count)[:10]}"


def _make_row(
    entry: Entry, members: Sequence[Entry], places: Mapping[str, Path | None]
) -> ReportRow:
    notes = Notes()
    first = (entry.finished or entry.records)[0]
    gain = show_gain(entry, Surroundings(entries=members, notes=notes))
    if entry.setting.ipc is None:  # all images stand beside every IPC: there is no one difference
        gain = None
    return ReportRow(
        entry=entry,
        id=_make_id(entry),
        facets=_make_facets(entry),
        top1=_show_top1(entry),
        gain=_show(gain, "delta_random", "; ".join(notes.texts)),
        paper=_show_claim(entry),
        gap=_show_gap(entry),
        seconds=_show(show_seconds(entry), "total_seconds"),
        memory=_show(show_memory(entry), "peak_bytes"),
        stored=_show_stored(entry),
        seeds=tuple(_make_seed_line(record, places.get(record.key)) for record in entry.records),
        environment=_merge_cards(record.environment for record in entry.records),
        configuration=json.dumps(first.configuration, indent=1, ensure_ascii=False),
        commands=tuple(dict.fromkeys(r.command for r in entry.records if r.command)),
        measured=_list_measured(entry),
        costs=tuple(_list_costs(first)),
        remarks=(*entry.explain_failures(), *notes.texts),
    )


def _make_facets(entry: Entry) -> dict[str, Shown]:
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


def _show_top1(entry: Entry) -> Shown:
    top1 = entry.summarize("top1")
    done, asked = len(entry.finished), len(entry.records)
    if top1 is None:
        return Shown(f"{entry.status} (0/{asked})", None, "bad")
    count = f"n = {done}" if done == asked else f"n = {done} of {asked}"
    return Shown(format_spread(top1.mean, top1.sd, "%"), top1.mean, hint=count)


def _show_claim(entry: Entry) -> Shown:
    claim = entry.find_claim()
    if claim is None:
        return Shown()
    return Shown(format_spread(claim.value, claim.sd, "%"), claim.value, hint=claim.origin)


def _show_gap(entry: Entry) -> Shown:
    top1, claim = entry.summarize("top1"), entry.find_claim()
    if claim is None or top1 is None:
        return Shown()
    gap = top1.mean - claim.value
    return Shown(format_signed(gap), gap)


def _show(cell: Cell | None, number: str, hint: str = "") -> Shown:
    if cell is None:
        return Shown(hint=hint)
    value = cell.numbers.get(number)
    return Shown(cell.text, value if isinstance(value, (int, float)) else None, cell.tone, hint)


def _show_stored(entry: Entry) -> Shown:
    cell = show_stored(entry)
    if cell is None:
        return Shown()
    total = sum(v for v in cell.numbers.values() if isinstance(v, (int, float)))
    hint = f"images + labels, and the teacher where it comes along: {cell.text}"
    return Shown(cell.brief, total, hint=hint)


def _make_seed_line(record: Record, path: Path | None) -> SeedLine:
    names = {name for values in record.metrics for name in values}
    metrics = [
        f"{name} {format_spread(value, None, record.units.get(name, ''))}"
        for name in sorted(names, key=lambda n: (n != "top1", n))
        if (value := record.metric(name)) is not None
    ]
    return SeedLine(
        seed=record.seed,
        status=record.status,
        metrics=", ".join(metrics),
        key=record.key,
        created=record.created,
        again=f"ddbench reproduce {record.key if path is None else shlex.quote(path.as_posix())}",
    )


def _merge_cards(cards: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Merges the environments of seeds: a value that differs between seeds is given for each."""
    texts: dict[str, dict[str, None]] = {}
    for card in cards:
        for name, value in flatten_options(card).items():
            if value != "None":
                is_bytes = name.endswith("_bytes") and value.isdigit()
                short = name.removeprefix("packages.").removesuffix("_bytes")
                text = format_bytes(float(value)) if is_bytes else value
                texts.setdefault(short, {})[text] = None
    return {name: ", ".join(values) for name, values in texts.items()}


def _list_measured(entry: Entry) -> dict[str, str]:
    units = {
        name: record.units.get(name, "")
        for record in entry.finished
        for metrics in record.metrics
        for name in metrics
    }
    texts = {}
    for name in sorted(units, key=lambda n: (not n.startswith("top"), n)):
        summary = entry.summarize(name)
        if summary is not None:
            text = format_spread(summary.mean, summary.sd, units[name])
            texts[name] = f"{text} {units[name]}".strip()
    cell = show_iteration(entry)
    if cell is not None:
        texts["seconds per iteration"] = cell.text
    for name in sorted({name for r in entry.finished for name in r.reports}):
        values = [r.reports[name] for r in entry.finished if name in r.reports]
        texts[name] = ", ".join(dict.fromkeys(f"{value:.4g}" for value in values))
    return texts


def _list_costs(record: Record) -> Iterator[tuple[str, ...]]:
    for cost in record.costs:
        iteration = cost.iteration_seconds
        yield (
            cost.stage,
            format_digits(cost.seconds),
            MISSING if cost.peak_bytes is None else format_bytes(cost.peak_bytes),
            MISSING if iteration is None else format_digits(iteration),
            cost.device,
        )
