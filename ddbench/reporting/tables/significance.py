"""How sure a table is of its numbers: intervals, corrected tests, ranks with ties."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.cells import NOTHING
from ddbench.reporting.tables.formatting import interval, p_value, signed, with_spread
from ddbench.reporting.tables.leaderboard import comparable, kind_of
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.statistics import (
    FEW,
    RESAMPLES,
    SIGNIFICANT,
    Paired,
    bootstrap_interval,
    holm,
    paired,
)
from ddbench.reporting.tables.views import Cell, Column, Row, Section, View


@dataclass(frozen=True)
class Comparison:
    """Two rows of one setting over the seeds that both have."""

    first: str
    second: str
    difference: Paired
    corrected: float | None
    """p after Holm, over all pairs of the setting."""

    @property
    def certain(self) -> bool:
        return self.corrected is not None and self.corrected < SIGNIFICANT


def comparisons(members: Sequence[Entry]) -> list[Comparison]:
    """All pairs of rows, better mean first."""
    pairs = [
        (a, b, found) for a, b in combinations(sorted(members, key=_best_first), 2)
        if (found := paired(a.by_seed("top1"), b.by_seed("top1"))) is not None
    ]  # fmt: skip
    corrected = holm([found.p for _, _, found in pairs])
    return [
        Comparison(a.label, b.label, found, p)
        for (a, b, found), p in zip(pairs, corrected, strict=True)
    ]


def tied_ranks(
    labels: Sequence[str], compared: Sequence[Comparison]
) -> Mapping[str, tuple[int, int]]:
    """First and last rank that each row may have: rows that no test tells apart share them."""
    better, worse = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
    for found in compared:
        if found.certain:
            up = found.difference.difference > 0
            better[found.second if up else found.first] += 1
            worse[found.first if up else found.second] += 1
    return {label: (1 + better[label], len(labels) - worse[label]) for label in labels}


def certainty(entries: Sequence[Entry]) -> View | None:
    """Mean, intervals and ranks of every row; None of nothing finished."""
    grouped = _of_one_size(entries)
    if not grouped:
        return None
    headings = Headings(grouped)
    few = any(len(e.finished) < FEW for members in grouped.values() for e in members)
    return View(
        title=headings.title("Certainty"),
        subtitle=headings.subtitle(),
        columns=(
            Column(name="method", align="left"), Column(name="top-1", unit="%"), Column(name="n"),
            Column(name="95 % CI, t"), Column(name="95 % CI, bootstrap"), Column(name="rank"),
        ),
        sections=tuple(
            Section(title=headings.section(setting), rows=_rows(setting, members))
            for setting, members in grouped.items()
        ),
        remarks=(
            "top-1: mean ± sample standard deviation over n seeds. CI: of the mean, by Student's t "
            f"and by {RESAMPLES:,} resamples of the seeds (BCa from {FEW} seeds on)."
            + (f" Below {FEW} seeds resampling is too narrow: go by t." if few else ""),
            "rank: 1–3 = no paired t-test over shared seeds, after Holm, tells the row from others "
            "of these ranks.",
        ),
    )  # fmt: skip


def _rows(setting: Setting, members: Sequence[Entry]) -> tuple[Row, ...]:
    ranks = tied_ranks([e.label for e in members], comparisons(members))
    return tuple(_row(setting, e, *ranks[e.label]) for e in sorted(members, key=_best_first))


def _row(setting: Setting, entry: Entry, first: int, last: int) -> Row:
    top1 = entry.summary("top1")
    assert top1 is not None
    half = top1.half_width
    student = (None, None) if half is None else (top1.mean - half, top1.mean + half)
    resampled = bootstrap_interval(list(entry.by_seed("top1").values())) or (None, None)
    rank = str(first) if first == last else f"{first}–{last}"
    return Row(
        cells=(
            Cell(text=entry.label),
            Cell(text=with_spread(top1.mean, top1.sd, "%"),
                 numbers={"top1_mean": top1.mean, "top1_sd": top1.sd}),
            Cell(text=str(top1.n), numbers={"n": top1.n}),
            Cell(text=interval(*student), numbers={"t_low": student[0], "t_high": student[1]}),
            Cell(text=interval(*resampled),
                 numbers={"bootstrap_low": resampled[0], "bootstrap_high": resampled[1]}),
            Cell(text=rank, numbers={"rank_first": first, "rank_last": last}),
        ),
        facts={**setting._asdict(), "label": entry.label, "reference": entry.baseline},
        kind=kind_of(entry),
    )  # fmt: skip


def paired_tests(entries: Sequence[Entry]) -> View | None:
    """Every pair of rows of a setting; None where no two share a seed."""
    compared = {s: comparisons(members) for s, members in _of_one_size(entries).items()}
    compared = {s: found for s, found in compared.items() if found}
    if not compared:
        return None
    headings = Headings(compared)
    return View(
        title=headings.title("Paired tests"),
        subtitle=headings.subtitle(),
        columns=(
            Column(name="difference", align="left"), Column(name="Δ top-1"),
            Column(name="95 % CI"), Column(name="p"), Column(name="p, Holm"), Column(name="n"),
        ),
        sections=tuple(
            Section(title=headings.section(s), rows=tuple(_test(s, c) for c in found))
            for s, found in compared.items()
        ),
        remarks=(
            "Over shared seeds: interval and p of a paired t-test; p after Holm's correction for "
            "all tests of a section. The interval is not corrected.",
        ),
    )  # fmt: skip


def _test(setting: Setting, found: Comparison) -> Row:
    spread = found.difference
    return Row(
        cells=(
            Cell(text=f"{found.first} − {found.second}"),
            Cell(text=signed(spread.difference), strong=found.certain,
                 numbers={"difference": spread.difference}),
            Cell(text=interval(spread.low, spread.high),
                 numbers={"low": spread.low, "high": spread.high}),
            Cell(text=p_value(spread.p), numbers={"p": spread.p}),
            NOTHING if found.corrected is None else
            Cell(text=p_value(found.corrected), numbers={"p_holm": found.corrected}),
            Cell(text=str(spread.n), numbers={"n": spread.n}),
        ),
        facts={**setting._asdict(), "first": found.first, "second": found.second},
    )  # fmt: skip


def _best_first(entry: Entry) -> tuple[float, str]:
    top1 = entry.summary("top1")
    return -(top1.mean if top1 else math.inf), entry.label


def _of_one_size(entries: Sequence[Entry]) -> dict[Setting, list[Entry]]:
    """Finished rows by setting, all of as many images: full data is no rival."""
    found = {
        setting: [e for e in members if e.setting == setting and e.summary("top1")]
        for setting, members in comparable(entries).items()
    }
    return {setting: members for setting, members in found.items() if members}
