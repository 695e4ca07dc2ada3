"""Cells of an entry: accuracy, gain over random images, published figures, costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ddbench.api.record import PublishedFigure
from ddbench.reporting.tables.aggregate import Entry, same_terms
from ddbench.reporting.tables.formatting import (
    MISSING,
    format_bytes,
    format_digits,
    format_interval,
    format_p,
    format_signed,
    format_spread,
)
from ddbench.reporting.tables.statistics import (
    SIGNIFICANT,
    Paired,
    compare_pairs,
    is_significant,
    summarize,
)
from ddbench.reporting.tables.views import Cell, Column, Notes, Tone

REFERENCE = "random"
"""The method that every row is compared with."""
NOTHING = Cell(text=MISSING, tone="quiet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Facts that a cell needs to know besides its own entry."""

    entries: Sequence[Entry]
    """Entries that may be compared, its own among them."""
    notes: Notes

    def find_rival(self, entry: Entry) -> Entry | None:
        """Returns random images under the labels, teacher and protocol of an entry, or None."""
        rivals = [
            e
            for e in self.entries
            if e.baseline and e.first.method == REFERENCE and same_terms(e, entry)
        ]
        mine = {r.seed for r in entry.records}
        return max(
            rivals,
            key=lambda e: (
                e.first.student_count == entry.first.student_count,
                len(mine & {r.seed for r in e.records}),
                e.label,
            ),
            default=None,
        )


def note_source(claim: PublishedFigure, notes: Notes) -> tuple[int, ...]:
    """Adds a footnote on where a figure was published, if the claim tells; returns its mark."""
    return (notes.add(f"published: {claim.origin}"),) if claim.origin else ()


MakeCell = Callable[[Entry, Surroundings], Cell | None]
"""Makes the cell of one column; None where the entry has nothing for it."""

# -- accuracy --------------------------------------------------------------------------------------


def find_best(entries: Iterable[Entry]) -> float | None:
    """Returns the highest mean top-1 in competition; None where there is only one row."""
    rows = [entry for entry in entries if not entry.baseline]
    means = [s.mean for e in rows if (s := e.summarize("top1"))]
    return max(means) if len(rows) > 1 and means else None


def show_top1(entry: Entry, here: Surroundings) -> Cell:
    """Shows mean and spread with the number of seeds, or how all seeds failed."""
    notes = tuple(here.notes.add(text) for text in entry.explain_failures())
    top1, asked = entry.summarize("top1"), len(entry.records)
    done = len(entry.finished)
    count = f"{done}/{asked}" if done < asked else f"n={done}" if done == 1 else str(done)
    if top1 is None:
        status = entry.status if entry.failed else MISSING
        return Cell(text=f"{status} ({count})", tone="bad", notes=notes)
    return Cell(
        text=f"{format_spread(top1.mean, top1.sd, '%')} ({count})",
        numbers={"top1_mean": top1.mean, "top1_sd": top1.sd, "top1_ci95": top1.half_width},
        strong=not entry.baseline and top1.mean == find_best(here.entries),
        notes=notes,
    )


def show_claim(entry: Entry, here: Surroundings) -> Cell | None:
    """Shows the published top-1."""
    claim = entry.find_claim()
    if claim is None:
        return None
    return Cell(
        text=format_spread(claim.value, claim.sd, "%"),
        numbers={
            "paper": claim.value,
            "paper_sd": claim.sd,
            "paper_source": claim.source,
            "paper_setting": claim.setting,
        },
        notes=note_source(claim, here.notes),
    )


def show_metric(name: str, unit: str) -> MakeCell:
    """Returns a maker of cells with mean and spread of a metric."""

    def make(entry: Entry, here: Surroundings) -> Cell | None:
        summary = entry.summarize(name)
        if summary is None:
            return None
        count = f" (n={summary.n})" if summary.n != len(entry.finished) else ""
        return Cell(
            text=format_spread(summary.mean, summary.sd, unit) + count,
            brief=format_spread(summary.mean, None, unit),
            numbers={f"{name}_mean": summary.mean, f"{name}_sd": summary.sd},
        )

    return make


# -- differences -----------------------------------------------------------------------------------


def choose_tone(difference: float, p: float | None) -> Tone:
    """Returns the colour of a difference: none where the test does not say that it is one."""
    return "" if not is_significant(p) else "good" if difference > 0 else "bad"


TEST_COLUMNS = tuple(Column(name=name) for name in ("Δ top-1", "95 % CI", "p", "p, Holm", "n"))


def show_test(test: Paired, corrected: float | None, *, strong: bool) -> tuple[Cell, ...]:
    """Returns the cells below `TEST_COLUMNS`.

    Args:
        test: Difference and test of two rows.
        corrected: p after correction, which decides whether the difference stands out.
        strong: Whether it stands out in bold, else in colour.
    """
    return (
        Cell(
            text=format_signed(test.difference),
            strong=strong and is_significant(corrected),
            tone="" if strong else choose_tone(test.difference, corrected),
            numbers={"difference": test.difference},
        ),
        Cell(
            text=format_interval(test.low, test.high), numbers={"low": test.low, "high": test.high}
        ),
        Cell(text=format_p(test.p), numbers={"p": test.p}),
        Cell(text=format_p(corrected), numbers={"p_holm": corrected}),
        Cell(text=str(test.n), numbers={"n": test.n}),
    )


def _compare_with_random(entry: Entry, here: Surroundings) -> Paired | None:
    rival = here.find_rival(entry)
    if rival is None or rival is entry:
        return None
    return compare_pairs(entry.collect("top1"), rival.collect("top1"))


def show_gain(entry: Entry, here: Surroundings) -> Cell | None:
    """Shows the mean difference to random images over shared seeds."""
    test = _compare_with_random(entry, here)
    if test is None:
        return _explain_missing_gain(entry, here)
    text = format_signed(test.difference)
    below = test.difference < 0 and text != format_signed(0) and not entry.baseline
    return Cell(
        text=text,
        numbers={
            "delta_random": test.difference,
            "delta_random_low": test.low,
            "delta_random_high": test.high,
            "delta_random_n": test.n,
        },
        tone=choose_tone(test.difference, test.p),
        notes=(here.notes.add(_warn_below(test.p)),) if below else (),
    )


def _warn_below(p: float | None) -> str:
    text = "below random images with the same labels"
    if p is None:
        return f"{text}; too few shared seeds to test"
    chance = f", which may be chance (p ≥ {SIGNIFICANT:g})"
    return text if is_significant(p) else text + chance


def _explain_missing_gain(entry: Entry, here: Surroundings) -> Cell | None:
    """Tells why there is no gain, where there are random images, but none to compare with."""
    there = any(e.first.method == REFERENCE and e.finished for e in here.entries)
    if not there or not entry.finished or entry.first.method == REFERENCE:
        return None
    reason = (
        "no random images with the same teacher, labels and training to compare with"
        if here.find_rival(entry) is None
        else "shares no finished seed with random images"
    )
    return replace(NOTHING, notes=(here.notes.add(reason),))


def show_p(entry: Entry, here: Surroundings) -> Cell | None:
    """Shows p of a paired t-test against random images."""
    test = _compare_with_random(entry, here)
    if test is None or test.p is None:
        return None
    return Cell(text=format_p(test.p), numbers={"delta_random_p": test.p})


# -- costs -----------------------------------------------------------------------------------------


def show_iteration(entry: Entry, here: object = None) -> Cell | None:
    """Shows seconds of an iteration of recover: the mean over seeds.

    The spread is that of one run's iterations, pooled over seeds.
    """
    costs = [c for r in entry.finished if (c := r.cost_of("recover")) is not None]
    means = [c.iteration_seconds for c in costs if c.iteration_seconds is not None]
    if not means:
        return None
    spreads = [c.iteration_sd for c in costs if c.iteration_sd is not None]
    mean = fmean(means)
    sd = math.sqrt(fmean(s * s for s in spreads)) if spreads else None
    return Cell(
        text=format_spread(mean, sd, "s"),
        brief=format_digits(mean),
        numbers={"iteration_seconds": mean, "iteration_sd": sd},
    )


def show_seconds(entry: Entry, here: object = None) -> Cell | None:
    """Shows seconds of all stages, the teacher's training included: the mean over seeds."""
    total = summarize(r.seconds for r in entry.finished if r.costs)
    if total is None:
        return None
    return Cell(text=format_digits(total.mean), numbers={"total_seconds": total.mean})


def show_memory(entry: Entry, here: object = None) -> Cell | None:
    """Shows the highest peak memory of all stages and seeds."""
    peak = max((p for r in entry.finished if (p := r.peak_bytes) is not None), default=None)
    return None if peak is None else Cell(text=format_bytes(peak), numbers={"peak_bytes": peak})


def show_stored(entry: Entry, here: object = None) -> Cell | None:
    """Shows bytes of images, labels, and the teacher if it has to come along: means over seeds."""
    means = {
        name: summary.mean
        for name in ("image_bytes", "label_bytes", "teacher_bytes")
        if (summary := summarize(v for r in entry.finished if (v := getattr(r, name)) is not None))
    }
    if "image_bytes" not in means:
        return None
    stored = [mean for name, mean in means.items() if mean or name != "teacher_bytes"]
    return Cell(
        text=" + ".join(format_bytes(count) for count in stored),
        brief=format_bytes(sum(stored)),
        numbers={"image_bytes": None, "label_bytes": None, **means},
    )


def show_published_cost(metric: str) -> MakeCell:
    """Returns a maker of cells with a published cost.

    Args:
        metric: `iteration_seconds`, `total_seconds` or `peak_bytes`.
    """

    def make(entry: Entry, here: Surroundings) -> Cell | None:
        claim = entry.find_claim(metric)
        if claim is None:
            return None
        write = format_bytes if metric == "peak_bytes" else format_digits
        return Cell(
            text=write(claim.value),
            numbers={f"{metric}_paper": claim.value},
            notes=note_source(claim, here.notes),
        )

    return make


def show_device(entry: Entry, here: object = None) -> Cell | None:
    """Shows the names of the devices that stages ran on."""
    text = "; ".join(list_devices([entry]))
    return Cell(text=text, numbers={"device": text}) if text else None


def list_devices(entries: Iterable[Entry]) -> list[str]:
    """Returns the names of the devices that stages of finished records ran on, sorted."""
    return sorted({name for e in entries for r in e.finished for name in r.devices})


def is_resident(device_name: str) -> bool:
    """Tells whether peak memory on a device is that of the process: everywhere but on CUDA."""
    return device_name.startswith(("CPU", "mps"))
