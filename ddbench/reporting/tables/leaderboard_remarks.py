"""What stands below a leaderboard: how to read it, and what a reader should know of its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set

from ddbench.reporting.tables.aggregate import Entry
from ddbench.reporting.tables.cells import devices, is_resident
from ddbench.reporting.tables.claims import verdicts
from ddbench.reporting.tables.formatting import listed
from ddbench.reporting.tables.row_names import given_by_all

MOST_TEACHERS = 3


def for_leaderboard(entries: Sequence[Entry], columns: Set[str]) -> Iterator[str]:
    """One sentence or two each; `columns` are the names of those that are shown."""
    yield _spread(entries)
    if "Δ random" in columns:
        yield (
            "Δ random: difference to random images with the same labels over shared seeds, "
            "p of a paired t-test."
        )
    if columns & {"total", "per iter.", "peak mem."}:
        yield _costs(entries, columns)
    if "stored" in columns:
        yield _stored(entries)
    yield from verdicts(entries)
    yield from _teachers(entries)
    yield from changes(entries)
    yield from mixed_evaluators(entries)
    yield from left_out(entries)


def rare_metrics(entries: Sequence[Entry], names: Sequence[str]) -> Iterator[str]:
    """Metrics that have no column, since most rows lack them, and how to see them."""
    finished = [entry for entry in entries if entry.finished]
    counts: dict[int, list[str]] = {}
    for name in names:
        counts.setdefault(sum(e.summary(name) is not None for e in finished), []).append(name)
    for count, same in counts.items():
        makers = sorted(set().union(*(_evaluators_of(name, finished) for name in same)))
        how = f"ddbench table --evaluator {','.join(makers)} shows it, " if makers else ""
        yield (
            f"No column for what only {count} of {len(finished)} rows have, {listed(same)}: "
            f"{how}--format csv every metric."
        )


def _evaluators_of(metric: str, entries: Sequence[Entry]) -> set[str]:
    """Evaluators of all records that have the metric, and of none that lacks it."""
    records = [record for entry in entries for record in entry.finished]
    having = [set(r.evaluators) for r in records if r.metric(metric) is not None]
    lacking = [set(r.evaluators) for r in records if r.metric(metric) is None]
    return set.intersection(*having).difference(*lacking)


def _spread(entries: Sequence[Entry]) -> str:
    text = "top-1: mean ± sample standard deviation over seeds (how many)"
    counts = {r.student_count for e in entries for r in e.finished}
    if counts == {1} or not counts:
        return f"{text}."
    many = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))
    return f"{text}, each the mean of {many} students trained on one distilled set."


def _costs(entries: Sequence[Entry], columns: Set[str]) -> str:
    said = []
    if "total" in columns:
        said.append("total: all stages, the teacher's training and cached ones included")
    names = devices(entries)
    if "peak mem." in columns:
        resident = sorted({is_resident(name) for name in names})
        kinds = {True: "resident memory of the process", False: "device memory"}
        if len(resident) == 1:
            said.append(f"peak memory: {kinds[resident[0]]}")
        elif resident:
            said.append(f"peak memory: {kinds[False]} on GPUs, {kinds[True]} elsewhere")
    where = f" (on {names[0]})" if len(names) == 1 else ""
    return f"{'; '.join(said)}{where}." if said else f"Times{where}."


def _stored(entries: Sequence[Entry]) -> str:
    # Records of before the teacher was counted do not say whether it has to come along.
    told = any(r.teacher_bytes is not None for e in entries for r in e.finished)
    also = " + the teacher where it labels every view" if told else ""
    return f"stored: images + labels{also}."


def _teachers(entries: Sequence[Entry]) -> Iterator[str]:
    """How good the teachers are: what their students can hope for."""
    found: dict[str, list[float]] = {}
    for entry in entries:
        for record in entry.finished:
            for name, top1 in record.reports.items():
                if name.startswith("teacher_top1"):
                    teacher = name.removeprefix("teacher_top1").lstrip(".") or record.teacher
                    place = f"{teacher} on {entry.setting.dataset}"
                    found.setdefault(place, []).append(top1)
    if not 0 < len(found) <= MOST_TEACHERS:
        return
    said = []
    for place, values in sorted(found.items()):
        low, high = f"{min(values):.1f}", f"{max(values):.1f}"
        said.append(f"{place} {low if low == high else f'{low} to {high}'} %")
    yield f"Top-1 of the teacher: {'; '.join(said)}."


def changes(entries: Sequence[Entry]) -> Iterator[str]:
    """Options given on the command line or by the suite that no label tells."""
    named: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.baseline:
            named.setdefault(entry.name, []).append(entry)
    told: dict[str, list[str]] = {}
    for name, members in named.items():
        options = ", ".join(f"{k}={v}" for k, v in sorted(given_by_all(members).items()))
        if options:
            told.setdefault(options, []).append(name)
    for options, names in sorted(told.items()):
        who = "all methods" if len(names) == len(named) > 1 else listed(names)
        yield f"Changed against the recipe for {who}: {options}."


def mixed_evaluators(entries: Sequence[Entry]) -> Iterator[str]:
    """A mean over seeds that were not measured alike is a mean of nothing."""
    for entry in entries:
        spelt: dict[str, set[str]] = {}
        for record in entry.finished:
            for name, evaluator in record.evaluators.items():
                spelt.setdefault(name, set()).add(json.dumps(evaluator, sort_keys=True))
        mixed = sorted(name for name, found in spelt.items() if len(found) > 1)
        if mixed:
            yield (
                f"{entry.label}: seeds were judged by {listed(mixed)} with different options or in "
                "different versions. `ddbench run` with one of them for all seeds puts it right."
            )


def left_out(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.older:
            records = "record has" if entry.older == 1 else "records have"
            yield f"{entry.label}: {entry.older} older {records} the seed of a newer one; left out."
