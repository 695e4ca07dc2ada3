"""What an evaluator says of a trial, checked before it is written down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Evaluator
from ddbench.api.types import Trial
from ddbench.runtime.memory import is_out_of_memory

_LEAVE_OUT = "leave it out of --evaluator: the cell is finished without it"


def judged(name: str, evaluator: Evaluator, trial: Trial) -> dict[str, float]:
    """Metric -> number.

    Raises:
        DDBenchError: the evaluator failed, or what it returned is not a mapping of its own metrics
            to finite numbers.
    """
    try:
        values = evaluator.evaluate(trial)
    except DDBenchError:
        raise
    except Exception as fault:
        if is_out_of_memory(fault):
            raise
        raise DDBenchError(
            f"evaluator '{name}' failed", f"{type(fault).__name__}: {fault}", hint=_LEAVE_OUT
        ) from fault
    return _checked(name, evaluator, values)


def _checked(name: str, evaluator: Evaluator, values: object) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise DDBenchError(
            f"evaluator '{name}' returned {type(values).__name__}",
            "expected: a mapping of its metrics to numbers", hint=_LEAVE_OUT,
        )  # fmt: skip
    declared = {metric.name for metric in evaluator.metrics}
    extra = sorted(str(metric) for metric in values if metric not in declared)
    if extra:
        raise DDBenchError(
            f"evaluator '{name}' reported {', '.join(extra)}",
            f"declared: {', '.join(sorted(declared))}",
            hint="declare every metric in `metrics`",
        )
    return {metric: _number(name, metric, value) for metric, value in values.items()}


def _number(name: str, metric: str, value: Any) -> float:
    """Of whatever counts as one: a tensor of no dimension, too, but no text."""
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DDBenchError(
            f"evaluator '{name}' reported {metric} = {value!r}", "expected: a finite number",
            hint=_LEAVE_OUT,
        )  # fmt: skip
    return number
