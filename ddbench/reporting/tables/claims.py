"""Judgements on a paper's figures: which of them held here and which did not, in a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

from ddbench.api.record import Record
from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.formatting import format_signed
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.statistics import (
    SIGNIFICANT,
    compare_pairs,
    correct_by_holm,
    is_significant,
)

MOST_NAMED = 6
"""Pairs that a line names before it only counts them."""
COSTS: Mapping[str, tuple[str, Callable[[Record], float | None]]] = {
    "iteration_seconds": (
        "time per iteration",
        lambda r: c.iteration_seconds if (c := r.cost_of("recover")) else None,
    ),
    "total_seconds": ("total time", lambda r: r.seconds if r.costs else None),
    "peak_bytes": ("peak memory", lambda r: r.peak_bytes),
}

Collect = Callable[[Entry], Mapping[int, float]]
"""Returns the measured values of an entry by seed."""


class Pair(NamedTuple):
    """Two rows of one setting whose published figures differ."""

    name: str
    """The row that is published as the higher one, and the other."""
    held: bool
    """Measured in the published order."""
    p: float | None
    """p of a paired t-test over shared seeds."""


def judge_claims(entries: Sequence[Entry]) -> Iterator[str]:
    """Yields the published order of rows against the measured one, where two have figures."""
    claimed = [e for e in entries if e.finished and e.find_claim()]
    pairs = list(_pair_rows(claimed, "top1", lambda entry: entry.collect("top1")))
    if pairs:
        gaps = [
            top1.mean - claim.value
            for e in claimed
            if not e.baseline and (top1 := e.summarize("top1")) and (claim := e.find_claim())
        ]
        yield f"{_judge('accuracy', pairs, tested=True)} {_describe_gaps(gaps)}".strip()
    for metric, (name, read) in COSTS.items():
        pairs = list(_pair_rows(entries, metric, _make_collect(read)))
        if pairs:
            yield _judge(name, pairs, tested=False)


def _make_collect(read: Callable[[Record], float | None]) -> Collect:
    return lambda entry: {r.seed: v for r in entry.finished if (v := read(r)) is not None}


def _judge(what: str, pairs: Sequence[Pair], tested: bool) -> str:
    corrected = correct_by_holm([pair.p for pair in pairs])
    held = [p for pair, p in zip(pairs, corrected, strict=True) if pair.held]
    sure = f"p < {SIGNIFICANT:g}"
    beyond = sum(map(is_significant, held))
    chance = f" ({beyond} with {sure} after Holm)" if tested and held else ""
    text = f"Published order by {what}: {len(held)} of {len(pairs)} pairs of rows held{chance}"
    turned = [
        f"{pair.name} ({sure})" if tested and is_significant(p) else pair.name
        for pair, p in zip(pairs, corrected, strict=True)
        if not pair.held
    ]
    if not turned:
        return f"{text}."
    more = f" and {len(turned) - MOST_NAMED} more" if len(turned) > MOST_NAMED else ""
    return f"{text}; did not hold: {'; '.join(turned[:MOST_NAMED])}{more}."


def _describe_gaps(gaps: Sequence[float]) -> str:
    if not gaps:
        return ""
    low, high = format_signed(min(gaps)), format_signed(max(gaps))
    return f"Measured minus published: {low if low == high else f'{low} to {high}'} points."


def _pair_rows(entries: Sequence[Entry], metric: str, collect: Collect) -> Iterator[Pair]:
    """Yields pairs of rows whose figures come from one paper, in one setting or table of it."""
    groups: dict[tuple[Setting, str], list[Entry]] = {}
    for entry in entries:
        claim = entry.find_claim(metric)
        if claim is not None and collect(entry):
            # Students of an architecture each, labels each: the paper's rows differ in more.
            home = entry.setting._replace(labels="", teacher="")
            paper = claim.source.partition(",")[0]  # "WMDD paper, Table 4"
            groups.setdefault((home, paper), []).append(entry)
    if not groups:
        return
    headings = Headings(setting for setting, _ in groups)
    for (setting, _), members in groups.items():
        under: dict[str, set[str]] = {}
        for member in members:
            under.setdefault(member.label, set()).add(member.setting.labels)
        for a, b in combinations(members, 2):
            first, second = a.find_claim(metric), b.find_claim(metric)
            assert first is not None
            assert second is not None
            shared = under[a.label] & under[b.label]
            if a.setting.labels != b.setting.labels and shared:
                continue  # compared where both have the same labels
            together = first.setting == second.setting or first.source == second.source
            if together and first.value != second.value:
                high, low = (a, b) if first.value > second.value else (b, a)
                labels = f"labels {a.setting.labels}" if len(shared) > 1 else ""
                place = ", ".join(filter(None, (headings.write_section(setting), labels)))
                yield _compare(high, low, collect, place)


def _compare(high: Entry, low: Entry, collect: Collect, place: str) -> Pair:
    test = compare_pairs(collect(high), collect(low))
    if test is not None:
        gap = test.difference
    else:
        gap = fmean(collect(high).values()) - fmean(collect(low).values())
    where = f" ({place})" if place else ""
    return Pair(f"{high.label} > {low.label}{where}", gap > 0, test.p if test else None)
