"""Checks that a record is what was written: its checksum, its keys, and numbers that can be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.pipeline.plan import Plan, cell_key
from ddbench.pipeline.specs import STAGES
from ddbench.store.records import is_altered

ACCURACY = re.compile(r"top\d+")


class AlteredError(DDBenchError):
    """A record that is not what was written."""


def refuse_altered(record: Record, plan: Plan | None = None) -> None:
    """Raises an error for a record that is not what was written.

    Args:
        record: A record as it was read.
        plan: The plan of its configuration on the data of this machine; None without these data.

    Raises:
        AlteredError: it was changed by hand, in one sentence.
    """
    for fault in find_faults(record, plan):
        raise AlteredError(f"the record {record.file_name} {fault}")


def find_faults(record: Record, plan: Plan | None = None) -> Iterator[str]:
    """Yields every fault, as the end of a sentence about the record."""
    if is_altered(record):
        yield "was altered after it was written: its checksum is that of other contents"
    if record.key != cell_key(record.keys.get("evaluate", []), record.keys.get("looked", [])):
        yield "was altered: its key is not that of its evaluate stages"
    yield from _find_impossible(record)
    if plan is not None:
        yield from _find_other_keys(record, plan)


def _find_impossible(record: Record) -> Iterator[str]:
    """Yields accuracies that are no percentage, or no whole number of test images."""
    count = record.configuration.get("test_images")
    for values in record.metrics:
        for name, value in values.items():
            if not ACCURACY.fullmatch(name):
                continue
            if not (math.isfinite(value) and 0 <= value <= 100):
                yield f"says {name} = {value:g} %, which is no percentage"
            elif count and abs((hits := value * count / 100) - round(hits)) > 1e-3:
                yield (
                    f"was altered: {name} = {value:g} % is not a whole number of its "
                    f"{count:,} test images"
                )


def _find_other_keys(record: Record, plan: Plan) -> Iterator[str]:
    """Yields the first stage whose key, made anew of the configuration, is not the recorded one.

    Statistics are left out: evaluators may ask for more of them than the method does.
    """
    planned: dict[str, list[str]] = {}
    for step in plan.stages():
        planned.setdefault(step.stage, []).append(step.key)
    for stage in STAGES:
        if stage == "statistics":
            continue
        recorded, own = record.keys.get(stage, []), planned.get(stage, [])
        # A teacher, too, may have been trained for an evaluator alone.
        if recorded == own or (stage == "squeeze" and not (recorded and own)):
            continue
        yield (
            f"was altered: its configuration gives another {stage} "
            f"({', '.join(own) or 'none'}) than the one that was run "
            f"({', '.join(recorded) or 'none'})"
        )
        return
