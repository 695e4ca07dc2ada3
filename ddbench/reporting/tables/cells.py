"""Cells of an entry: its gain over random images, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ddbench.reporting.tables.aggregate import Entry, same_terms
from ddbench.reporting.tables.formatting import (
    MISSING,
    p_value,
    signed,
    significant,
    size,
    with_spread,
)
from ddbench.reporting.tables.statistics import SIGNIFICANT, Paired, paired, summarize
from ddbench.reporting.tables.views import Cell, Notes, Tone

REFERENCE = "random"
"""The method that every row is compared with."""
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
                e.first.student_count == entry.first.student_count,
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


# -- costs ----------------------------------------------------------------------------------------


def per_iteration(entry: Entry, here: object = None) -> Cell | None:
    """Of the recovery: mean over seeds; the spread is that of one run's iterations, pooled."""
    costs = [c for r in entry.finished if (c := r.cost_of("recover")) is not None]
    means = [c.iteration_seconds for c in costs if c.iteration_seconds is not None]
    if not means:
        return None
    spreads = [c.iteration_sd for c in costs if c.iteration_sd is not None]
    mean = fmean(means)
    sd = math.sqrt(fmean(s * s for s in spreads)) if spreads else None
    return Cell(
        text=with_spread(mean, sd, "s"),
        brief=significant(mean),
        numbers={"iteration_seconds": mean, "iteration_sd": sd},
    )


def total_seconds(entry: Entry, here: object = None) -> Cell | None:
    """All stages, the teacher's training included: mean over seeds."""
    found = summarize(r.seconds for r in entry.finished if r.costs)
    if found is None:
        return None
    return Cell(text=significant(found.mean), numbers={"total_seconds": found.mean})


def peak_memory(entry: Entry, here: object = None) -> Cell | None:
    """The highest of all stages and seeds."""
    peaks = [p for r in entry.finished if (p := r.peak_bytes) is not None]
    if not peaks:
        return None
    return Cell(text=size(max(peaks)), numbers={"peak_bytes": max(peaks)})


def stored_bytes(entry: Entry, here: object = None) -> Cell | None:
    """What the distilled set takes, and the teacher if it has to come along: mean over seeds."""
    images = summarize(r.image_bytes for r in entry.finished if r.image_bytes is not None)
    labels = summarize(r.label_bytes for r in entry.finished if r.label_bytes is not None)
    if images is None:
        return None
    teacher = summarize(r.teacher_bytes for r in entry.finished if r.teacher_bytes is not None)
    kept = [images, labels, teacher if teacher is not None and teacher.mean else None]
    stored = [part.mean for part in kept if part is not None]
    return Cell(
        text=" + ".join(size(count) for count in stored),
        brief=size(sum(stored)),
        numbers={
            "image_bytes": images.mean,
            "label_bytes": labels.mean if labels else None,
            **({"teacher_bytes": teacher.mean} if teacher else {}),
        },
    )


def published(metric: str) -> Callable[[Entry, Surroundings], Cell | None]:
    """What a paper claims of a cost: `iteration_seconds`, `total_seconds` or `peak_bytes`."""

    def make(entry: Entry, here: Surroundings) -> Cell | None:
        claims = [c for r in entry.records for c in r.cost_claims if c.metric == metric]
        if not claims:
            return None
        claim = claims[0]
        origin = "; ".join(text for text in (claim.source, claim.setting) if text)
        text = size(claim.value) if metric == "peak_bytes" else significant(claim.value)
        return Cell(
            text=text,
            numbers={f"{metric}_paper": claim.value},
            notes=(here.notes.add(f"published: {origin}"),) if origin else (),
        )

    return make


def device(entry: Entry, here: object = None) -> Cell | None:
    names = devices([entry])
    return Cell(text="; ".join(names), numbers={"device": "; ".join(names)}) if names else None


def devices(entries: Iterable[Entry]) -> list[str]:
    """Where the stages ran, by name."""
    return sorted({name for e in entries for r in e.finished for name in r.devices})


def is_resident(device_name: str) -> bool:
    """Whether peak memory on it is that of the process: everywhere but on CUDA."""
    return device_name.startswith(("CPU", "mps"))
