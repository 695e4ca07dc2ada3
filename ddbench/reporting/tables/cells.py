"""What an entry costs, as cells: seconds, memory, bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from statistics import fmean

from ddbench.api.record import Record
from ddbench.reporting.tables.against_random import Surroundings
from ddbench.reporting.tables.aggregate import Entry, summarize
from ddbench.reporting.tables.formatting import significant, size, with_spread
from ddbench.reporting.tables.views import Cell


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
    return sorted({name for e in entries for r in e.finished for name in _devices(r)})


def _devices(record: Record) -> set[str]:
    # Older records have "1 threads".
    return {cost.device.replace(" 1 threads", " 1 thread") for cost in record.costs if cost.device}


def is_resident(device_name: str) -> bool:
    """Whether peak memory on it is that of the process: everywhere but on CUDA."""
    return device_name.startswith(("CPU", "mps"))
