"""What a method gains over random images with the same labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ddbench.reporting.tables.aggregate import Entry, Paired, paired, same_terms, students_of
from ddbench.reporting.tables.formatting import MISSING, p_value, signed
from ddbench.reporting.tables.views import Cell, Notes, Tone

REFERENCE = "random"
"""The method that every row is compared with."""
SIGNIFICANT = 0.05
NONE = signed(0)
NOTHING = Cell(text=MISSING, tone="quiet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a cell needs to know besides its own entry."""

    entries: Sequence[Entry]
    notes: Notes

    def rival(self, entry: Entry) -> Entry | None:
        """Random images under the labels, teacher and protocol of `entry`."""
        found = [
            e for e in self.entries
            if e.baseline and e.first.method == REFERENCE and same_terms(e, entry)
        ]  # fmt: skip
        mine = {r.seed for r in entry.records}
        return max(
            found,
            key=lambda e: (
                students_of(e.first) == students_of(entry.first),
                len(mine & {r.seed for r in e.records}),
                e.label,
            ),
            default=None,
        )


def _compared(entry: Entry, here: Surroundings) -> Paired | None:
    rival = here.rival(entry)
    if rival is None or rival is entry:
        return None
    return paired(entry.by_seed("top1"), rival.by_seed("top1"))


def difference(entry: Entry, here: Surroundings) -> Cell | None:
    """Mean over shared seeds; coloured only where the test says that it is one."""
    found = _compared(entry, here)
    if found is None:
        return _no_delta(entry, here)
    certain = found.p is not None and found.p < SIGNIFICANT
    tone: Tone = "" if not certain else "good" if found.difference > 0 else "bad"
    below = found.difference < 0 and signed(found.difference) != NONE and not entry.baseline
    return Cell(
        text=signed(found.difference),
        numbers={
            "delta_random": found.difference,
            "delta_random_low": found.low,
            "delta_random_high": found.high,
            "delta_random_n": found.n,
        },
        tone=tone,
        notes=(here.notes.add(_below(found.p)),) if below else (),
    )


def _below(p: float | None) -> str:
    text = "below random images with the same labels"
    if p is None:
        return f"{text}; too few shared seeds to test"
    return text if p < SIGNIFICANT else f"{text}, which may be chance (p ≥ {SIGNIFICANT:g})"


def _no_delta(entry: Entry, here: Surroundings) -> Cell | None:
    """Says why, where there are random images, but none to compare with."""
    there = any(e.first.method == REFERENCE and e.finished for e in here.entries)
    if not there or not entry.finished or entry.first.method == REFERENCE:
        return None
    reason = (
        "no random images with the same teacher, labels and training to compare with"
        if here.rival(entry) is None
        else "shares no finished seed with random images"
    )
    return replace(NOTHING, notes=(here.notes.add(reason),))


def probability(entry: Entry, here: Surroundings) -> Cell | None:
    """p of a paired t-test."""
    found = _compared(entry, here)
    if found is None or found.p is None:
        return None
    return Cell(text=p_value(found.p), numbers={"delta_random_p": found.p})
