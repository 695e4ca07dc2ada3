"""Whether a record is what was written: checksum, keys, and numbers that can be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.pipeline.plan import Plan, cell_key
from ddbench.pipeline.specs import STAGES
from ddbench.store.records import is_altered

ACCURACY = re.compile(r"top\d+")


class AlteredError(DDBenchError):
    """A record that is not what was written."""


def refuse_altered(record: Record, plan: Plan | None = None) -> None:
    """Nothing for a whole record.

    Args:
        record: As read.
        plan: Of its configuration on the data of this machine; None where they are not here.

    Raises:
        AlteredError: it was changed by hand, in one sentence.
    """
    for fault in faults_of(record, plan):
        raise AlteredError(f"the record {record.file_name} {fault}")


def faults_of(record: Record, plan: Plan | None = None) -> Iterator[str]:
    """Every fault, as the end of a sentence about the record."""
    if is_altered(record):
        yield "was altered after it was written: its checksum is that of other contents"
    if record.key != cell_key(record.keys.get("evaluate", []), record.keys.get("looked", [])):
        yield "was altered: its key is not that of its evaluate stages"
    yield from _impossible(record)
    if plan is not None:
        yield from _other_keys(record, plan)


def _impossible(record: Record) -> Iterator[str]:
    """An accuracy is a whole number of test images, and a percentage."""
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


def _other_keys(record: Record, plan: Plan) -> Iterator[str]:
    """The first stage whose key, made anew of the configuration, is not the recorded one.

    Statistics are left out: evaluators may ask for more of them than the method does.
    """
    made: dict[str, list[str]] = {}
    for stage in plan.stages():
        made.setdefault(stage.stage, []).append(stage.key)
    for stage in STAGES:
        if stage == "statistics":
            continue
        told, found = record.keys.get(stage, []), made.get(stage, [])
        # A teacher, too, may have been trained for an evaluator alone.
        if told == found or (stage == "squeeze" and not (told and found)):
            continue
        yield (
            f"was altered: its configuration gives another {stage} ({_listed(found)}) than the one "
            f"that was run ({_listed(told)})"
        )
        return


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys) or "none"
