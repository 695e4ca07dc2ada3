"""What evaluators of the teacher's features share."""

from __future__ import annotations

from ddbench.api.errors import DDBenchError
from ddbench.api.types import FeatureSample, Trial

LEAVE_OUT = "leave the evaluator out: --evaluator accuracy"
"""What to do where an evaluator does not fit."""


def sample_of(trial: Trial, evaluator: str) -> FeatureSample:
    """The features of a trial.

    Raises:
        DDBenchError: it has none.
    """
    if trial.features is None:
        raise DDBenchError(
            f"{evaluator} looks at the teacher's features, and this trial has none", hint=LEAVE_OUT
        )
    return trial.features()
