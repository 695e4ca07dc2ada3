"""Tables as papers print them: methods down, students or images per class across."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.cells import NOTHING, find_best
from ddbench.reporting.tables.formatting import format_ipc, format_spread
from ddbench.reporting.tables.leaderboard import group_comparable
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.views import Cell, Column, Kind, Notes, Raw, Row, Section, View


@dataclass(frozen=True, slots=True)
class Axis:
    """The terms that run across."""

    fields: tuple[str, ...]
    """Fields of `Setting`."""
    title: str
    write_heading: Callable[[Setting], str]


STUDENTS = Axis(("student",), "Across architectures", lambda s: s.student)
IPC = Axis(("ipc",), "Images per class", lambda s: format_ipc(s.ipc))
REGIMES = Axis(("labels", "protocol"), "Labels", lambda s: f"{s.labels}, {s.protocol}")


Placed = tuple[Setting, Entry]
"""An entry and the setting that it stands under: all images stand under every IPC."""


def pivot_students(entries: Sequence[Entry]) -> View | None:
    """Makes a table of methods x students, where there is more than one student."""
    return _pivot(_place(entries), STUDENTS)


def pivot_ipc(entries: Sequence[Entry]) -> View | None:
    """Makes a table of methods x images per class, where there are several and one student."""
    if len({e.setting.student for e in entries}) > 1:
        return None
    return _pivot([(e.setting, e) for e in entries], IPC)


def pivot_regimes(entries: Sequence[Entry]) -> View | None:
    """Makes a table of methods x labels and student trainings, where there are several."""
    return _pivot(_place(entries), REGIMES)


def _place(entries: Sequence[Entry]) -> list[Placed]:
    return [(s, e) for s, members in group_comparable(entries).items() for e in members]


def _pivot(placed: Sequence[Placed], axis: Axis) -> View | None:
    blank: dict[str, Any] = dict.fromkeys(axis.fields)
    groups: dict[Setting, list[Placed]] = {}
    for setting, entry in sorted(placed, key=lambda pair: pair[0].order):
        groups.setdefault(setting._replace(**blank), []).append((setting, entry))
    groups = {s: members for s, members in groups.items() if _has_several(members, axis)}
    if not groups:
        return None
    shown = sorted((s for members in groups.values() for s, _ in members), key=lambda s: s.order)
    heads = list(dict.fromkeys(axis.write_heading(setting) for setting in shown))
    notes = Notes()
    usual = find_usual_count([e for members in groups.values() for _, e in members])
    headings = Headings(groups, without=axis.fields)
    sections = []
    for setting, members in groups.items():
        facts = {k: v for k, v in setting._asdict().items() if k not in axis.fields}
        named = [(axis.write_heading(s), e) for s, e in members]
        rows = tuple(_make_rows(named, heads, facts, notes, usual))
        sections.append(Section(title=headings.write_section(setting), rows=rows))
    return View(
        title=headings.write_title(axis.title),
        subtitle=headings.write_subtitle(),
        columns=(Column(name="method", align="left"), *(Column(name=h) for h in heads)),
        sections=tuple(sections),
        notes=notes.texts,
        remarks=(explain_spread(usual),),
    )


def _has_several(members: Sequence[Placed], axis: Axis) -> bool:
    """Tells whether an axis has several places; all images alone make none of images per class."""
    values = {tuple(getattr(s, name) for name in axis.fields) for s, _ in members}
    return len({v for v in values if None not in v}) > 1


def _make_rows(
    named: Sequence[tuple[str, Entry]],
    heads: Sequence[str],
    facts: Mapping[str, Raw],
    notes: Notes,
    usual: int,
) -> Iterator[Row]:
    """Yields a row for each label: by the mean over all columns, reference rows last."""
    best = {head: find_best(e for h, e in named if h == head) for head in heads}
    by_label: dict[tuple[bool, str], dict[str, Entry]] = {}
    for head, entry in named:
        by_label.setdefault((entry.baseline, entry.label), {})[head] = entry
    for row in sorted(by_label.values(), key=_rank_key):
        first = next(iter(row.values()))
        cells = [
            show_measured(row[h], h, notes, usual, best[h]) if h in row else NOTHING for h in heads
        ]
        yield Row(
            cells=(Cell(text=first.label), *cells),
            facts={**facts, "label": first.label, "reference": first.baseline},
            kind=_choose_kind(row.values()),
        )


def _rank_key(row: Mapping[str, Entry]) -> tuple[object, ...]:
    means = [s.mean for e in row.values() if (s := e.summarize("top1"))]
    first = next(iter(row.values()))
    height = -fmean(means) if means else 0.0
    return first.baseline, first.setting.ipc is None, not means, height, first.label


def _choose_kind(entries: Iterable[Entry]) -> Kind:
    kinds = {entry.kind for entry in entries}
    return "reference" if "reference" in kinds else "entry" if "entry" in kinds else "failed"


def show_measured(entry: Entry, head: str, notes: Notes, usual: int, best: float | None) -> Cell:
    """Shows `52.1 ± 0.9`, with the number of seeds where it is unusual, or what failed.

    Args:
        entry: Whose top-1 is shown.
        head: Heading of the column, by which the numbers are named.
        notes: Footnotes of the view, to which failures are added.
        usual: Number of seeds that is not told.
        best: Mean top-1 that is shown in bold.
    """
    marks = tuple(notes.add(text) for text in entry.explain_failures())
    top1 = entry.summarize("top1")
    if top1 is None:
        numbers = {f"{head} status": entry.status}
        return Cell(text=entry.status, tone="bad", notes=marks, numbers=numbers)
    count = f", n={top1.n}" if top1.n != usual else ""
    return Cell(
        text=format_spread(top1.mean, top1.sd, "%") + count,
        numbers={f"{head} mean": top1.mean, f"{head} sd": top1.sd, f"{head} n": top1.n},
        strong=not entry.baseline and top1.mean == best,
        notes=marks,
    )


def find_usual_count(entries: Sequence[Entry]) -> int:
    """Returns the most frequent number of seeds; the larger of two as frequent."""
    counts = [len(entry.finished) for entry in entries if entry.finished]
    return max(set(counts), key=lambda n: (counts.count(n), n), default=0)


def explain_spread(usual: int) -> str:
    """Returns the remark on numbers of seeds below a table of top-1."""
    if usual < 2:
        return "top-1 in %, one seed each, where nothing else is said."
    spread = "mean ± sample standard deviation"
    return f"top-1 in %: {spread} over {usual} seeds, or over n where it is given."
