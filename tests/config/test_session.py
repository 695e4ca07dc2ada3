"""Which evaluators a command gets, and which may not go together."""

from __future__ import annotations

import re
from typing import ClassVar

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Evaluator
from ddbench.api.types import Metric
from ddbench.config.session import Session
from ddbench.registry import Registry
from ddbench.runtime.context import Context


class Reports(Evaluator):
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("top1"),)

    def evaluate(self, trial: object) -> dict[str, float]:
        return {"top1": 0.0}


@pytest.fixture
def session(registry, tmp_path) -> Session:
    evaluators = {**registry.parts["evaluator"], "stranger": Reports()}
    parts = {**registry.parts, "evaluator": evaluators}
    ours = Registry(parts, registry.aliases, registry.plugins, registry.manager)
    return Session(ours, Context(), tmp_path)


def test_accuracy_is_always_there_and_nothing_twice(session):
    assert list(session.evaluators([])) == ["accuracy"]
    assert list(session.evaluators(["accuracy", "discrepancy"])) == ["accuracy", "discrepancy"]


def test_two_evaluators_of_one_metric_are_an_error_that_names_both(session):
    with pytest.raises(DDBenchError, match="two evaluators report 'top1'") as caught:
        session.evaluators(["stranger"])
    assert caught.value.facts == ("accuracy and stranger",)


def test_an_evaluator_takes_options_in_brackets(session):
    (_, found) = session.evaluators(["discrepancy[projections=7]"]).values()
    assert found.projections == 7
    with pytest.raises(DDBenchError, match="has no option 'projection'") as caught:
        session.evaluators(["discrepancy[projection=7]"])
    assert caught.value.hint == "did you mean 'projections'?"
    with pytest.raises(DDBenchError, match=re.escape("cannot read the evaluator '2*accuracy'")):
        session.evaluators(["2*accuracy"])


def test_an_evaluator_has_one_set_of_options(session):
    with pytest.raises(DDBenchError, match="'calibration_error' is asked with two sets"):
        session.evaluators(["calibration_error", "calibration_error[bins=5]"])
    assert len(session.evaluators(["calibration_error", "calibration_error[bins=15]"])) == 2
