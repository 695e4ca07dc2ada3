"""The leaderboard: a row per method, a section per setting, reference rows last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from ddbench.reporting.tables import leaderboard_remarks as remarks
from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.cells import (
    NOTHING,
    Surroundings,
    device,
    devices,
    difference,
    peak_memory,
    per_iteration,
    probability,
    published,
    stored_bytes,
    total_seconds,
)
from ddbench.reporting.tables.formatting import MISSING, listed, one_line, with_spread
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.views import Cell, Column, Kind, Notes, Raw, Row, Section, View


class Metric(NamedTuple):
    """A measure beside top-1."""

    name: str
    unit: str
    higher_is_better: bool | None


MakeCell = Callable[[Entry, Surroundings], Cell | None]


def leaderboard(entries: Sequence[Entry], asked: Collection[str] | None = ()) -> View:
    """Every record in a row: one section for what may be compared, best first.

    Args:
        entries: With their labels.
        asked: Metrics that have a column however few rows have them; others have one where most
            rows have them. None for all metrics.
    """
    grouped = comparable(entries)
    notes = Notes()
    shown, rare = shown_metrics(entries, asked)
    makers = _makers(entries, shown)
    made: list[tuple[Setting, Entry, list[Cell | None]]] = []
    for setting, members in grouped.items():
        here = Surroundings(entries=members, notes=notes)
        for entry in sorted(members, key=_place):
            made.append((setting, entry, [make(entry, here) for _, make in makers]))
    # A column that nobody has anything for is no column.
    used = [i for i in range(len(makers)) if any(cells[i] is not None for _, _, cells in made)]
    columns = tuple(makers[i][0] for i in used)
    headings = Headings(grouped)
    sections: dict[str, list[Row]] = {}
    for setting, entry, cells in made:
        title = headings.section(setting)
        row = Row(
            cells=tuple(cells[i] or NOTHING for i in used),
            facts=_facts(entry, title),
            kind=kind_of(entry),
        )
        sections.setdefault(title, []).append(row)
    return View(
        title=headings.title("Leaderboard"),
        subtitle=headings.subtitle(),
        columns=columns,
        sections=tuple(Section(title=t, rows=tuple(rows)) for t, rows in sections.items()),
        notes=notes.texts,
        remarks=(
            *remarks.for_leaderboard(entries, {c.name for c in columns}),
            *remarks.rare_metrics(entries, [metric.name for metric in rare]),
        ),
    )


def comparable(entries: Iterable[Entry]) -> dict[Setting, list[Entry]]:
    """Entries by setting; those of all images stand beside every IPC of the same setting."""
    found: dict[Setting, list[Entry]] = {}
    whole: list[Entry] = []
    for entry in entries:
        if entry.setting.ipc is None:
            whole.append(entry)
        else:
            found.setdefault(entry.setting, []).append(entry)
    for entry in whole:
        homes = [s for s in found if s._replace(ipc=None) == entry.setting]
        for setting in homes or [entry.setting]:
            found.setdefault(setting, []).append(entry)
    return dict(sorted(found.items(), key=lambda item: item[0].order))


def kind_of(entry: Entry) -> Kind:
    if entry.baseline:
        return "reference"
    return "entry" if entry.finished else "failed"


def best_of(entries: Iterable[Entry]) -> float | None:
    """The highest mean in competition; None where there is only one."""
    rows = [entry for entry in entries if not entry.baseline]
    means = [s.mean for e in rows if (s := e.summary("top1"))]
    return max(means) if len(rows) > 1 and means else None


def _place(entry: Entry) -> tuple[object, ...]:
    """Best first, then what failed, then random images, then all images."""
    top1 = entry.summary("top1")
    all_images = entry.baseline and entry.setting.ipc is None
    return entry.baseline, all_images, top1 is None, -top1.mean if top1 else 0.0, entry.label


def _metrics(entries: Sequence[Entry]) -> list[Metric]:
    """Everything measured besides top-1: other accuracies first."""
    found: dict[str, Metric] = {}
    for entry in entries:
        for record in entry.finished:
            for name in {name for m in record.metrics for name in m}:
                unit, direction = record.units.get(name, ""), record.directions.get(name)
                found[name] = Metric(name, unit, direction)
    found.pop("top1", None)
    return sorted(found.values(), key=lambda m: (not _is_accuracy(m.name), m.name))


def shown_metrics(
    entries: Sequence[Entry], asked: Collection[str] | None
) -> tuple[list[Metric], list[Metric]]:
    """Metrics that have a column, and those that too few rows have for one."""
    finished = [entry for entry in entries if entry.finished]
    shown: list[Metric] = []
    rare: list[Metric] = []
    for metric in _metrics(entries):
        having = sum(entry.summary(metric.name) is not None for entry in finished)
        wanted = asked is None or metric.name in asked or 2 * having > len(finished)
        (shown if wanted else rare).append(metric)
    return shown, rare


def _is_accuracy(name: str) -> bool:
    return name.startswith("top") and name[3:].isdigit()


def _makers(entries: Sequence[Entry], metrics: Sequence[Metric]) -> list[tuple[Column, MakeCell]]:
    makers: list[tuple[Column, MakeCell]] = [
        (Column(name="method", align="left"), _method),
        (Column(name="top-1", unit="%"), _top1),
        (Column(name="Δ random", priority=1), difference),
        (Column(name="p", priority=2), probability),
        (Column(name="paper", unit="%", priority=1), _paper),
        *((_metric_column(metric, place), _metric(metric)) for place, metric in enumerate(metrics)),
        (Column(name="per iter.", unit="s", priority=3), per_iteration),
        (Column(name="paper, per iter.", unit="s", priority=3), published("iteration_seconds")),
        (Column(name="total", unit="s", priority=4), total_seconds),
        (Column(name="paper, total", unit="s", priority=4), published("total_seconds")),
        (Column(name="peak mem.", priority=5), peak_memory),
        (Column(name="paper, peak mem.", priority=5), published("peak_bytes")),
        (Column(name="stored", priority=6), stored_bytes),
    ]
    if len(devices(entries)) > 1:
        makers.append((Column(name="device", align="left", priority=2), device))
    return makers


def _metric_column(metric: Metric, place: int) -> Column:
    # Accuracies other than top-1 say little new: they are the first to go.
    if _is_accuracy(metric.name):
        return Column(name=f"top-{metric.name[3:]}", unit=metric.unit, priority=99)
    arrow = {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]
    return Column(name=f"{metric.name}{arrow}", unit=metric.unit, priority=7 + place)


def _method(entry: Entry, here: Surroundings) -> Cell:
    return Cell(text=entry.label)


def _top1(entry: Entry, here: Surroundings) -> Cell:
    notes = tuple(here.notes.add(text) for text in failures(entry))
    top1, asked = entry.summary("top1"), len(entry.records)
    done = len(entry.finished)
    count = f"{done}/{asked}" if done < asked else f"n={done}" if done == 1 else str(done)
    if top1 is None:
        state = status_of(entry) if entry.failed else MISSING
        return Cell(text=f"{state} ({count})", tone="bad", notes=notes)
    return Cell(
        text=f"{with_spread(top1.mean, top1.sd, '%')} ({count})",
        numbers={"top1_mean": top1.mean, "top1_sd": top1.sd, "top1_ci95": top1.half_width},
        strong=not entry.baseline and top1.mean == best_of(here.entries),
        notes=notes,
    )


def failures(entry: Entry) -> list[str]:
    """What went wrong with which seeds."""
    seeds: dict[str, list[int]] = {}
    for record in entry.failed:
        reason = one_line(record.reason) or "no reason recorded"
        seeds.setdefault(f"{record.status}: {reason}", []).append(record.seed)
    return [
        f"seed{'s' if len(which) > 1 else ''} {listed(which)} {told}"
        for told, which in seeds.items()
    ]


def status_of(entry: Entry) -> str:
    """`ok`, `partial`, or how all seeds failed."""
    if not entry.failed:
        return "ok"
    return "partial" if entry.finished else "/".join(sorted({r.status for r in entry.failed}))


def _paper(entry: Entry, here: Surroundings) -> Cell | None:
    claim = next((r.claim for r in entry.records if r.claim is not None), None)
    if claim is None:
        return None
    origin = "; ".join(text for text in (claim.source, claim.setting) if text)
    return Cell(
        text=with_spread(claim.value, claim.sd, "%"),
        numbers={
            "paper": claim.value, "paper_sd": claim.sd, "paper_source": claim.source,
            "paper_setting": claim.setting,
        },
        notes=(here.notes.add(f"published: {origin}"),) if origin else (),
    )  # fmt: skip


def _metric(metric: Metric) -> MakeCell:
    def make(entry: Entry, here: Surroundings) -> Cell | None:
        found = entry.summary(metric.name)
        if found is None:
            return None
        count = f" (n={found.n})" if found.n != len(entry.finished) else ""
        return Cell(
            text=with_spread(found.mean, found.sd, metric.unit) + count,
            brief=with_spread(found.mean, None, metric.unit),
            numbers={f"{metric.name}_mean": found.mean, f"{metric.name}_sd": found.sd},
        )

    return make


def _facts(entry: Entry, section: str) -> dict[str, Raw]:
    record, setting = entry.first, entry.setting
    return {
        "section": section,
        **setting._asdict(),
        "method": record.method,
        "variant": record.variant,
        "label": entry.label,
        "reference": entry.baseline,
        "status": status_of(entry),
        "n": len(entry.finished),
        "seeds": len(entry.records),
        "students": record.student_count,
        "reason": "; ".join(failures(entry)),
    }
