"""How sure a table is of its numbers: intervals, corrected tests, ranks with ties."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.cells import TEST_COLUMNS, show_test
from ddbench.reporting.tables.formatting import format_interval, format_spread
from ddbench.reporting.tables.leaderboard import group_comparable
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.statistics import (
    FEW,
    RESAMPLES,
    Paired,
    bootstrap_interval,
    compare_pairs,
    correct_by_holm,
    is_significant,
)
from ddbench.reporting.tables.views import Cell, Column, Row, Section, View


@dataclass(frozen=True)
class Comparison:
    """Two rows of one setting over the seeds that both have."""

    first: str
    second: str
    test: Paired
    corrected: float | None
    """p after Holm, over all pairs of the setting."""


def compare_rows(members: Sequence[Entry]) -> list[Comparison]:
    """Tests all pairs of rows, better mean first."""
    pairs = [
        (a, b, test)
        for a, b in combinations(sorted(members, key=_rank_key), 2)
        if (test := compare_pairs(a.collect("top1"), b.collect("top1"))) is not None
    ]
    corrected = correct_by_holm([test.p for _, _, test in pairs])
    return [
        Comparison(a.label, b.label, test, p)
        for (a, b, test), p in zip(pairs, corrected, strict=True)
    ]


def rank_with_ties(
    labels: Sequence[str], compared: Sequence[Comparison]
) -> Mapping[str, tuple[int, int]]:
    """Returns first and last rank of each row: rows that no test tells apart share them."""
    better, worse = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
    for pair in compared:
        if is_significant(pair.corrected):
            up = pair.test.difference > 0
            better[pair.second if up else pair.first] += 1
            worse[pair.first if up else pair.second] += 1
    return {label: (1 + better[label], len(labels) - worse[label]) for label in labels}


def tabulate_certainty(entries: Sequence[Entry]) -> View | None:
    """Makes a table of mean, intervals and rank of every row; None where nothing finished."""
    groups = group_finished(entries)
    if not groups:
        return None
    headings = Headings(groups)
    few = any(len(e.finished) < FEW for members in groups.values() for e in members)
    names = ("n", "95 % CI, t", "95 % CI, bootstrap", "rank")
    return View(
        title=headings.write_title("Certainty"),
        subtitle=headings.write_subtitle(),
        columns=(
            Column(name="method", align="left"),
            Column(name="top-1", unit="%"),
            *(Column(name=name) for name in names),
        ),
        sections=tuple(
            Section(title=headings.write_section(setting), rows=_make_rows(setting, members))
            for setting, members in groups.items()
        ),
        remarks=(
            "top-1: mean ± sample standard deviation over n seeds. CI: of the mean, by Student's t "
            f"and by {RESAMPLES:,} resamples of the seeds (BCa from {FEW} seeds on)."
            + (f" Below {FEW} seeds resampling is too narrow: go by t." if few else ""),
            "rank: 1–3 = no paired t-test over shared seeds, after Holm, tells the row from others "
            "of these ranks.",
        ),
    )


def _make_rows(setting: Setting, members: Sequence[Entry]) -> tuple[Row, ...]:
    ranks = rank_with_ties([e.label for e in members], compare_rows(members))
    return tuple(
        _make_row(setting, entry, *ranks[entry.label]) for entry in sorted(members, key=_rank_key)
    )


def _make_row(setting: Setting, entry: Entry, first: int, last: int) -> Row:
    top1 = entry.summarize("top1")
    assert top1 is not None
    half = top1.half_width
    student = (None, None) if half is None else (top1.mean - half, top1.mean + half)
    resampled = bootstrap_interval(list(entry.collect("top1").values())) or (None, None)
    rank = str(first) if first == last else f"{first}–{last}"
    intervals = [
        Cell(text=format_interval(low, high), numbers={f"{name}_low": low, f"{name}_high": high})
        for name, (low, high) in (("t", student), ("bootstrap", resampled))
    ]
    return Row(
        cells=(
            Cell(text=entry.label),
            Cell(
                text=format_spread(top1.mean, top1.sd, "%"),
                numbers={"top1_mean": top1.mean, "top1_sd": top1.sd},
            ),
            Cell(text=str(top1.n), numbers={"n": top1.n}),
            *intervals,
            Cell(text=rank, numbers={"rank_first": first, "rank_last": last}),
        ),
        facts={**setting._asdict(), "label": entry.label, "reference": entry.baseline},
        kind=entry.kind,
    )


def tabulate_tests(entries: Sequence[Entry]) -> View | None:
    """Makes a table of every pair of rows of a setting; None where no two share a seed."""
    groups = {s: compare_rows(members) for s, members in group_finished(entries).items()}
    groups = {s: compared for s, compared in groups.items() if compared}
    if not groups:
        return None
    headings = Headings(groups)
    return View(
        title=headings.write_title("Paired tests"),
        subtitle=headings.write_subtitle(),
        columns=(Column(name="difference", align="left"), *TEST_COLUMNS),
        sections=tuple(
            Section(
                title=headings.write_section(setting),
                rows=tuple(
                    Row(
                        cells=(
                            Cell(text=f"{pair.first} − {pair.second}"),
                            *show_test(pair.test, pair.corrected, strong=True),
                        ),
                        facts={**setting._asdict(), "first": pair.first, "second": pair.second},
                    )
                    for pair in compared
                ),
            )
            for setting, compared in groups.items()
        ),
        remarks=(
            "Over shared seeds: interval and p of a paired t-test; p after Holm's correction for "
            "all tests of a section. The interval is not corrected.",
        ),
    )


def _rank_key(entry: Entry) -> tuple[float, str]:
    top1 = entry.summarize("top1")
    return -(top1.mean if top1 else math.inf), entry.label


def group_finished(entries: Sequence[Entry]) -> dict[Setting, list[Entry]]:
    """Groups finished rows by setting, all of as many images: full data is no rival."""
    groups = {
        setting: [e for e in members if e.setting == setting and e.summarize("top1")]
        for setting, members in group_comparable(entries).items()
    }
    return {setting: members for setting, members in groups.items() if members}
