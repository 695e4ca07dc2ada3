"""Tables as papers print them: methods down, students or images per class across."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.cells import NOTHING
from ddbench.reporting.tables.formatting import with_spread
from ddbench.reporting.tables.leaderboard import best_of, comparable, failures, kind_of, status_of
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.views import Cell, Column, Kind, Notes, Row, Section, View

ALL_IMAGES = "all images"


@dataclass(frozen=True, slots=True)
class Axis:
    """What runs across."""

    fields: tuple[str, ...]
    """Of `Setting`."""
    title: str
    heading: Callable[[Setting], str]


STUDENTS = Axis(("student",), "Across architectures", lambda s: s.student)
IPC = Axis(("ipc",), "Images per class", lambda s: ALL_IMAGES if s.ipc is None else f"IPC {s.ipc}")
REGIMES = Axis(("labels", "protocol"), "Labels", lambda s: f"{s.labels}, {s.protocol}")


def across_students(entries: Sequence[Entry]) -> View | None:
    """Methods x students, where there is more than one student."""
    placed = [(s, e) for s, members in comparable(entries).items() for e in members]
    return _pivot(placed, STUDENTS)


def across_ipc(entries: Sequence[Entry]) -> View | None:
    """Methods x images per class, where there is more than one; only for a single student."""
    if len({e.setting.student for e in entries}) > 1:
        return None
    return _pivot([(e.setting, e) for e in entries], IPC)


def across_regimes(entries: Sequence[Entry]) -> View | None:
    """Methods x labels and student trainings, where there is more than one."""
    placed = [(s, e) for s, members in comparable(entries).items() for e in members]
    return _pivot(placed, REGIMES)


def _pivot(placed: Sequence[tuple[Setting, Entry]], axis: Axis) -> View | None:
    groups: dict[Setting, list[tuple[Setting, Entry]]] = {}
    for setting, entry in sorted(placed, key=lambda pair: pair[0].order):
        groups.setdefault(setting._replace(**dict.fromkeys(axis.fields)), []).append(
            (setting, entry)
        )
    groups = {s: members for s, members in groups.items() if _has_several(members, axis)}
    if not groups:
        return None
    shown = sorted((s for members in groups.values() for s, _ in members), key=lambda s: s.order)
    heads = list(dict.fromkeys(axis.heading(setting) for setting in shown))
    notes = Notes()
    usual = usual_count([e for members in groups.values() for _, e in members])
    headings = Headings(groups, without=axis.fields)
    sections = []
    for setting, members in groups.items():
        named = [(axis.heading(s), e) for s, e in members]
        rows = _rows(named, heads, notes, usual)
        facts = {k: v for k, v in setting._asdict().items() if k not in axis.fields}
        rows = [replace(row, facts={**facts, **row.facts}) for row in rows]
        sections.append(Section(title=headings.section(setting), rows=tuple(rows)))
    return View(
        title=headings.title(axis.title),
        subtitle=headings.subtitle(),
        columns=(Column(name="method", align="left"), *(Column(name=h) for h in heads)),
        sections=tuple(sections),
        notes=notes.texts,
        remarks=(spread_remark(usual),),
    )


def _has_several(members: Sequence[tuple[Setting, Entry]], axis: Axis) -> bool:
    """All images alone make no axis of images per class."""
    values = {tuple(getattr(s, name) for name in axis.fields) for s, _ in members}
    return len({v for v in values if None not in v}) > 1


def _rows(
    named: Sequence[tuple[str, Entry]], heads: Sequence[str], notes: Notes, usual: int
) -> list[Row]:
    by_label: dict[tuple[bool, str], dict[str, Entry]] = {}
    for head, entry in named:
        by_label.setdefault((entry.baseline, entry.label), {})[head] = entry
    best = {head: best_of(e for h, e in named if h == head) for head in heads}
    rows = []
    for found in sorted(by_label.values(), key=_place):
        cells = [
            measured(found[h], h, notes, usual, best[h]) if h in found else NOTHING for h in heads
        ]
        first = next(iter(found.values()))
        rows.append(
            Row(
                cells=(Cell(text=first.label), *cells),
                facts={"label": first.label, "reference": first.baseline},
                kind=_kind(found.values()),
            )
        )
    return rows


def _kind(entries: Iterable[Entry]) -> Kind:
    kinds = {kind_of(entry) for entry in entries}
    return "reference" if "reference" in kinds else "entry" if "entry" in kinds else "failed"


def _place(found: Mapping[str, Entry]) -> tuple[object, ...]:
    """By the mean over all columns; reference rows last."""
    means = [s.mean for e in found.values() if (s := e.summary("top1"))]
    first = next(iter(found.values()))
    height = -fmean(means) if means else 0.0
    return first.baseline, first.setting.ipc is None, not means, height, first.label


def measured(entry: Entry, head: str, notes: Notes, usual: int, best: float | None) -> Cell:
    """`52.1 ± 0.9`; with the number of seeds where it is not the usual one, or what failed."""
    marks = tuple(notes.add(text) for text in failures(entry))
    top1 = entry.summary("top1")
    if top1 is None:
        return Cell(text=status_of(entry), tone="bad", notes=marks,
                    numbers={f"{head} status": status_of(entry)})  # fmt: skip
    count = f", n={top1.n}" if top1.n != usual else ""
    return Cell(
        text=with_spread(top1.mean, top1.sd, "%") + count,
        numbers={f"{head} mean": top1.mean, f"{head} sd": top1.sd, f"{head} n": top1.n},
        strong=not entry.baseline and top1.mean == best,
        notes=marks,
    )


def usual_count(entries: Sequence[Entry]) -> int:
    """The most frequent number of seeds; the larger of two as frequent."""
    counts = [len(entry.finished) for entry in entries if entry.finished]
    return max(set(counts), key=lambda n: (counts.count(n), n), default=0)


def spread_remark(usual: int) -> str:
    if usual < 2:
        return "top-1 in %, one seed each, where nothing else is said."
    spread = "mean ± sample standard deviation"
    return f"top-1 in %: {spread} over {usual} seeds, or over n where it is given."
