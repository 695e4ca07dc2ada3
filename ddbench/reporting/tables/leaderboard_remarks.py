"""Remarks below a leaderboard: how to read it, and what a reader should know of its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set

from ddbench.reporting.tables.aggregate import Entry
from ddbench.reporting.tables.cells import is_resident, list_devices
from ddbench.reporting.tables.claims import judge_claims
from ddbench.reporting.tables.formatting import join_words
from ddbench.reporting.tables.row_names import find_common_options

MOST_TEACHERS = 3


def explain_leaderboard(entries: Sequence[Entry], columns: Set[str]) -> Iterator[str]:
    """Yields remarks of one sentence or two each.

    Args:
        entries: Rows of the leaderboard.
        columns: Names of the columns that are shown.
    """
    yield _explain_spread(entries)
    if "Δ random" in columns:
        yield (
            "Δ random: difference to random images with the same labels over shared seeds, "
            "p of a paired t-test."
        )
    if columns & {"total", "per iter.", "peak mem."}:
        yield _explain_costs(entries, columns)
    if "stored" in columns:
        yield _explain_stored(entries)
    yield from judge_claims(entries)
    yield from _judge_teachers(entries)
    yield from _list_changes(entries)
    yield from _warn_mixed_evaluators(entries)
    yield from _count_older(entries)


def name_rare_metrics(entries: Sequence[Entry], names: Sequence[str]) -> Iterator[str]:
    """Names the metrics that have no column, since most rows lack them, and how to see them."""
    finished = [entry for entry in entries if entry.finished]
    counts: dict[int, list[str]] = {}
    for name in names:
        counts.setdefault(sum(e.summarize(name) is not None for e in finished), []).append(name)
    for count, same in counts.items():
        makers = sorted(set().union(*(_find_evaluators(name, finished) for name in same)))
        how = f"ddbench table --evaluator {','.join(makers)} shows it, " if makers else ""
        yield (
            f"No column for what only {count} of {len(finished)} rows have, {join_words(same)}: "
            f"{how}--format csv every metric."
        )


def _find_evaluators(metric: str, entries: Sequence[Entry]) -> set[str]:
    """Returns the evaluators of all records that have the metric, and of none that lacks it."""
    records = [record for entry in entries for record in entry.finished]
    having = [set(r.evaluators) for r in records if r.metric(metric) is not None]
    lacking = [set(r.evaluators) for r in records if r.metric(metric) is None]
    return set.intersection(*having).difference(*lacking)


def _explain_spread(entries: Sequence[Entry]) -> str:
    text = "top-1: mean ± sample standard deviation over seeds (how many)"
    counts = {r.student_count for e in entries for r in e.finished}
    if counts == {1} or not counts:
        return f"{text}."
    many = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))
    return f"{text}, each the mean of {many} students trained on one distilled set."


def _explain_costs(entries: Sequence[Entry], columns: Set[str]) -> str:
    sentences = []
    if "total" in columns:
        sentences.append("total: all stages, the teacher's training and cached ones included")
    names = list_devices(entries)
    if "peak mem." in columns:
        resident = sorted({is_resident(name) for name in names})
        kinds = {True: "resident memory of the process", False: "device memory"}
        if len(resident) == 1:
            sentences.append(f"peak memory: {kinds[resident[0]]}")
        elif resident:
            sentences.append(f"peak memory: {kinds[False]} on GPUs, {kinds[True]} elsewhere")
    where = f" (on {names[0]})" if len(names) == 1 else ""
    return f"{'; '.join(sentences) or 'Times'}{where}."


def _explain_stored(entries: Sequence[Entry]) -> str:
    # Records of before the teacher was counted do not say whether it has to come along.
    known = any(r.teacher_bytes is not None for e in entries for r in e.finished)
    also = " + the teacher where it labels every view" if known else ""
    return f"stored: images + labels{also}."


def _judge_teachers(entries: Sequence[Entry]) -> Iterator[str]:
    """Yields the accuracies of the teachers: what their students can hope for."""
    accuracies: dict[str, list[float]] = {}
    for entry in entries:
        for record in entry.finished:
            for name, top1 in record.reports.items():
                if name.startswith("teacher_top1"):
                    teacher = name.removeprefix("teacher_top1").lstrip(".") or record.teacher
                    place = f"{teacher} on {entry.setting.dataset}"
                    accuracies.setdefault(place, []).append(top1)
    if not 0 < len(accuracies) <= MOST_TEACHERS:
        return
    sentences = []
    for place, values in sorted(accuracies.items()):
        low, high = f"{min(values):.1f}", f"{max(values):.1f}"
        sentences.append(f"{place} {low if low == high else f'{low} to {high}'} %")
    yield f"Top-1 of the teacher: {'; '.join(sentences)}."


def _list_changes(entries: Sequence[Entry]) -> Iterator[str]:
    """Yields options given on the command line or by the suite that no label tells."""
    named: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.baseline:
            named.setdefault(entry.name, []).append(entry)
    changes: dict[str, list[str]] = {}
    for name, members in named.items():
        options = sorted(find_common_options(members).items())
        if options:
            changes.setdefault(", ".join(f"{k}={v}" for k, v in options), []).append(name)
    for text, names in sorted(changes.items()):
        who = "all methods" if len(names) == len(named) > 1 else join_words(names)
        yield f"Changed against the recipe for {who}: {text}."


def _warn_mixed_evaluators(entries: Sequence[Entry]) -> Iterator[str]:
    """Warns of rows whose seeds were not measured alike: their mean is a mean of nothing."""
    for entry in entries:
        spelt: dict[str, set[str]] = {}
        for record in entry.finished:
            for name, evaluator in record.evaluators.items():
                spelt.setdefault(name, set()).add(json.dumps(evaluator, sort_keys=True))
        mixed = sorted(name for name, spellings in spelt.items() if len(spellings) > 1)
        if mixed:
            yield (
                f"{entry.label}: seeds were judged by {join_words(mixed)} with different options "
                "or in different versions. `ddbench run` with one of them for all seeds puts it "
                "right."
            )


def _count_older(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.older:
            records = "record has" if entry.older == 1 else "records have"
            yield f"{entry.label}: {entry.older} older {records} the seed of a newer one; left out."
