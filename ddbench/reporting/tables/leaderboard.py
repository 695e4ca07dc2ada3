"""The leaderboard: a row per method, a section per setting, reference rows last."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.cells import (
    NOTHING,
    MakeCell,
    Surroundings,
    list_devices,
    show_claim,
    show_device,
    show_gain,
    show_iteration,
    show_memory,
    show_metric,
    show_p,
    show_published_cost,
    show_seconds,
    show_stored,
    show_top1,
)
from ddbench.reporting.tables.leaderboard_remarks import explain_leaderboard, name_rare_metrics
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.views import Cell, Column, Notes, Raw, Row, Section, View


class Metric(NamedTuple):
    """A measure beside top-1."""

    name: str
    unit: str
    higher_is_better: bool | None


def make_leaderboard(entries: Sequence[Entry], asked: Collection[str] | None = ()) -> View:
    """Makes the table of all entries: one section for those that may be compared, best first.

    Args:
        entries: With their labels.
        asked: Metrics that have a column however few rows have them; others have one where most
            rows have them. None for all metrics.
    """
    grouped = group_comparable(entries)
    notes = Notes()
    shown, rare = choose_metrics(entries, asked)
    columns, makers = zip(*_choose_columns(entries, shown), strict=True)
    headings = Headings(grouped)
    lines: dict[str, list[tuple[Entry, list[Cell | None]]]] = {}
    for setting, members in grouped.items():
        here = Surroundings(entries=members, notes=notes)
        for entry in sorted(members, key=_rank_key):
            cells = [make(entry, here) for make in makers]
            lines.setdefault(headings.write_section(setting), []).append((entry, cells))
    # A column that nobody has anything for is no column.
    rows = [cells for section in lines.values() for _, cells in section]
    used = [i for i, column in enumerate(zip(*rows, strict=True)) if any(column)]
    return View(
        title=headings.write_title("Leaderboard"),
        subtitle=headings.write_subtitle(),
        columns=tuple(columns[i] for i in used),
        sections=tuple(
            Section(
                title=title,
                rows=tuple(
                    Row(
                        cells=tuple(cells[i] or NOTHING for i in used),
                        facts=_list_facts(entry, title),
                        kind=entry.kind,
                    )
                    for entry, cells in section
                ),
            )
            for title, section in lines.items()
        ),
        notes=notes.texts,
        remarks=(
            *explain_leaderboard(entries, {columns[i].name for i in used}),
            *name_rare_metrics(entries, [metric.name for metric in rare]),
        ),
    )


def group_comparable(entries: Iterable[Entry]) -> dict[Setting, list[Entry]]:
    """Groups entries by setting; those of all images stand beside every IPC of the same setting."""
    groups: dict[Setting, list[Entry]] = {}
    whole: list[Entry] = []
    for entry in entries:
        if entry.setting.ipc is None:
            whole.append(entry)
        else:
            groups.setdefault(entry.setting, []).append(entry)
    for entry in whole:
        homes = [s for s in groups if s._replace(ipc=None) == entry.setting]
        for setting in homes or [entry.setting]:
            groups.setdefault(setting, []).append(entry)
    return dict(sorted(groups.items(), key=lambda item: item[0].order))


def _rank_key(entry: Entry) -> tuple[object, ...]:
    """Returns a key that sorts best first, then what failed, then random images, then all."""
    top1 = entry.summarize("top1")
    all_images = entry.baseline and entry.setting.ipc is None
    return entry.baseline, all_images, top1 is None, -top1.mean if top1 else 0.0, entry.label


def choose_metrics(
    entries: Sequence[Entry], asked: Collection[str] | None
) -> tuple[list[Metric], list[Metric]]:
    """Returns the metrics beside top-1 that have a column, and those that too few rows have."""
    finished = [entry for entry in entries if entry.finished]
    shown: list[Metric] = []
    rare: list[Metric] = []
    for metric in _list_metrics(finished):
        having = sum(entry.summarize(metric.name) is not None for entry in finished)
        wanted = asked is None or metric.name in asked or 2 * having > len(finished)
        (shown if wanted else rare).append(metric)
    return shown, rare


def _list_metrics(entries: Iterable[Entry]) -> list[Metric]:
    """Returns everything measured besides top-1: other accuracies first."""
    metrics: dict[str, Metric] = {}
    for entry in entries:
        for record in entry.finished:
            for name in {name for values in record.metrics for name in values} - {"top1"}:
                unit, direction = record.units.get(name, ""), record.directions.get(name)
                metrics[name] = Metric(name, unit, direction)
    return sorted(metrics.values(), key=lambda m: (not _is_accuracy(m.name), m.name))


def _is_accuracy(name: str) -> bool:
    return name.startswith("top") and name[3:].isdigit()


def _choose_columns(
    entries: Sequence[Entry], metrics: Sequence[Metric]
) -> list[tuple[Column, MakeCell]]:
    columns: list[tuple[Column, MakeCell]] = [
        (Column(name="method", align="left"), lambda entry, here: Cell(text=entry.label)),
        (Column(name="top-1", unit="%"), show_top1),
        (Column(name="Δ random", priority=1), show_gain),
        (Column(name="p", priority=2), show_p),
        (Column(name="paper", unit="%", priority=1), show_claim),
        *((_make_column(m, place), show_metric(m.name, m.unit)) for place, m in enumerate(metrics)),
        (Column(name="per iter.", unit="s", priority=3), show_iteration),
        (
            Column(name="paper, per iter.", unit="s", priority=3),
            show_published_cost("iteration_seconds"),
        ),
        (Column(name="total", unit="s", priority=4), show_seconds),
        (Column(name="paper, total", unit="s", priority=4), show_published_cost("total_seconds")),
        (Column(name="peak mem.", priority=5), show_memory),
        (Column(name="paper, peak mem.", priority=5), show_published_cost("peak_bytes")),
        (Column(name="stored", priority=6), show_stored),
    ]
    if len(list_devices(entries)) > 1:
        columns.append((Column(name="device", align="left", priority=2), show_device))
    return columns


def _make_column(metric: Metric, place: int) -> Column:
    # Accuracies other than top-1 say little new: they are the first to go.
    if _is_accuracy(metric.name):
        return Column(name=f"top-{metric.name[3:]}", unit=metric.unit, priority=99)
    arrow = {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]
    return Column(name=f"{metric.name}{arrow}", unit=metric.unit, priority=7 + place)


def _list_facts(entry: Entry, section: str) -> dict[str, Raw]:
    record, setting = entry.first, entry.setting
    return {
        "section": section,
        **setting._asdict(),
        "method": record.method,
        "variant": record.variant,
        "label": entry.label,
        "reference": entry.baseline,
        "status": entry.status,
        "n": len(entry.finished),
        "seeds": len(entry.records),
        "students": record.student_count,
        "reason": "; ".join(entry.explain_failures()),
    }
