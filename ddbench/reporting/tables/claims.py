"""What held of a paper's figures and what did not, in one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from ddbench.api.record import PublishedFigure, Record
from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.formatting import signed
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.statistics import SIGNIFICANT, holm, paired

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


@dataclass(frozen=True)
class Pair:
    """Two rows of one setting whose published figures differ."""

    name: str
    """The row that is published as the higher one, and the other."""
    held: bool
    """Measured in the published order."""
    p: float | None
    """Of a paired t-test over shared seeds; after Holm in a line."""

    @property
    def certain(self) -> bool:
        return self.p is not None and self.p < SIGNIFICANT


def verdicts(entries: Sequence[Entry]) -> Iterator[str]:
    """The published order of rows against the measured one; nothing where nobody claims two."""
    claimed = [e for e in entries if e.finished and _claim(e, "top1")]
    pairs = list(_pairs(claimed, "top1", lambda e: e.by_seed("top1")))
    if pairs:
        gaps = [top1.mean - claim.value for e in claimed if not e.baseline
                and (top1 := e.summary("top1")) and (claim := _claim(e, "top1"))]  # fmt: skip
        yield f"{_line('accuracy', pairs, tested=True)} {_heights(gaps)}".strip()
    for metric, (name, read) in COSTS.items():
        found = list(_pairs(entries, metric, lambda e, read=read: _by_seed(e, read)))
        if found:
            yield _line(name, found, tested=False)


def _line(what: str, compared: Sequence[Pair], tested: bool) -> str:
    corrected = holm([pair.p for pair in compared])
    pairs = [replace(pair, p=p) for pair, p in zip(compared, corrected, strict=True)]
    held = [p for p in pairs if p.held]
    turned = [p for p in pairs if not p.held]
    beyond = sum(p.certain for p in held)
    chance = f" ({beyond} with p < {SIGNIFICANT:g} after Holm)" if tested and held else ""
    text = f"Published order by {what}: {len(held)} of {len(pairs)} pairs of rows held{chance}"
    if not turned:
        return f"{text}."
    sure = f" (p < {SIGNIFICANT:g})"
    named = [f"{p.name}{sure if tested and p.certain else ''}" for p in turned]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return f"{text}; did not hold: {'; '.join(named[:MOST_NAMED])}{more}."


def _heights(gaps: Sequence[float]) -> str:
    if not gaps:
        return ""
    low, high = signed(min(gaps)), signed(max(gaps))
    return f"Measured minus published: {low if low == high else f'{low} to {high}'} points."


def _pairs(
    entries: Sequence[Entry], metric: str, values: Callable[[Entry], Mapping[int, float]]
) -> Iterator[Pair]:
    """Of rows whose figures come from one paper, under one setting or in one table of it."""
    groups: dict[tuple[Setting, str], list[Entry]] = {}
    for entry in entries:
        claim = _claim(entry, metric)
        if claim is not None and values(entry):
            # Students of an architecture each, labels each: the paper's rows differ in more.
            home = entry.setting._replace(labels="", teacher="")
            paper = claim.source.partition(",")[0]  # "WMDD paper, Table 4"
            groups.setdefault((home, paper), []).append(entry)
    if not groups:
        return
    headings = Headings(setting for setting, _ in groups)
    for (setting, _), members in groups.items():
        place = headings.section(setting)
        under: dict[str, set[str]] = {}
        for member in members:
            under.setdefault(member.label, set()).add(member.setting.labels)
        for a, b in combinations(members, 2):
            first, second = _claim(a, metric), _claim(b, metric)
            assert first is not None
            assert second is not None
            alike = a.setting.labels == b.setting.labels
            if not alike and under[a.label] & under[b.label]:
                continue  # compared where both have the same labels
            together = first.setting == second.setting or first.source == second.source
            if together and first.value != second.value:
                high, low = (a, b) if first.value > second.value else (b, a)
                several = len(under[a.label] & under[b.label]) > 1
                labels = f"labels {a.setting.labels}" if several else ""
                yield _pair(high, low, values, ", ".join(filter(None, (place, labels))))


def _pair(
    high: Entry, low: Entry, values: Callable[[Entry], Mapping[int, float]], place: str
) -> Pair:
    found = paired(values(high), values(low))
    gap = fmean(values(high).values()) - fmean(values(low).values())
    if found is not None:
        gap = found.difference
    where = f" ({place})" if place else ""
    return Pair(f"{high.label} > {low.label}{where}", gap > 0, found.p if found else None)


def _claim(entry: Entry, metric: str) -> PublishedFigure | None:
    for record in entry.records:
        offered = [record.claim] if metric == "top1" else record.cost_claims
        for claim in offered:
            if claim is not None and claim.metric == metric:
                return claim
    return None


def _by_seed(entry: Entry, read: Callable[[Record], float | None]) -> dict[int, float]:
    found = {record.seed: read(record) for record in entry.finished}
    return {seed: value for seed, value in found.items() if value is not None}
