"""Asks evaluators about trials, and checks what they say before it is written down."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, UInt8

from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features, feature_tap
from ddbench.api.roles import Evaluator
from ddbench.api.types import DistilledSet, FeatureSample, Trial
from ddbench.pipeline.plan import Plan
from ddbench.pipeline.results import LabelledFeatures, StudentTrial
from ddbench.runtime.memory import is_out_of_memory

if TYPE_CHECKING:  # what computes is imported by cells that need it: a finished grid has none
    from ddbench.pipeline.runner import Runner
    from ddbench.pipeline.students import Students

LENT_FOR: Mapping[str, tuple[str, ...]] = {
    "images": ("distilled",),
    "features": ("features",),
    "student": ("test_images", "student"),
}
"""Methods of a trial that answer, by what an evaluator `needs`."""
_LEAVE_OUT = "leave it out of --evaluator: the cell is finished without it"


@dataclass(frozen=True, slots=True)
class LentTrial(Trial):
    """A trial that lends more than logits; each thing is made when it is asked for."""

    lent: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """By method; one that is missing is not lent."""

    def distilled(self) -> DistilledSet:
        return self.lent.get("distilled", lambda: Trial.distilled(self))()

    def features(self) -> FeatureSample:
        return self.lent.get("features", lambda: Trial.features(self))()

    def test_images(self) -> UInt8[torch.Tensor, "t c h w"]:
        return self.lent.get("test_images", lambda: Trial.test_images(self))()

    def student(self, images: UInt8[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n k"]:
        return self.lent.get("student", lambda images: Trial.student(self, images))(images)


def lend(trial: LentTrial, needs: frozenset[str]) -> LentTrial:
    """Returns a trial that lends what an evaluator says that it needs, and no more."""
    allowed = {method for need in needs for method in LENT_FOR.get(need, ())}
    return replace(trial, lent={name: ask for name, ask in trial.lent.items() if name in allowed})


def judge(name: str, evaluator: Evaluator, trial: LentTrial) -> dict[str, float]:
    """Metric -> number.

    Raises:
        DDBenchError: the evaluator failed, or what it returned is not a mapping of its own metrics
            to finite numbers.
    """
    try:
        values = evaluator.evaluate(lend(trial, evaluator.needs))
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
    """Returns a number from what counts as one: a tensor of no dimension, too, but no text."""
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


def _trial(plan: Plan, run: int, answers: StudentTrial, students: Students) -> LentTrial:
    return LentTrial(
        logits=answers.logits,
        labels=answers.labels,
        info=plan.info,
        seed=plan.cell.seed,
        lent={
            "distilled": lambda: students.runner.load_distilled(plan).as_set(),
            "features": lambda: feature_sample(plan, students.runner),
            "test_images": lambda: students.runner.open_data(plan.cell.dataset).test_images,
            "student": _student(plan, run, students),
        },
    )


def _student(plan: Plan, run: int, students: Students) -> Callable[[torch.Tensor], torch.Tensor]:
    """Its answers to any images; the student is opened when it is asked first."""
    from ddbench.training.loop import predict

    runner = students.runner
    network = functools.cache(lambda: students.load(plan, run))
    whitening = functools.cache(lambda: runner.find_whitening(plan))
    return lambda images: predict(network().module, images, plan.info, runner.ctx, whitening())


def feature_sample(plan: Plan, runner: Runner) -> FeatureSample:
    """Teacher features of the real images, from the statistics stage, and of the distilled ones."""
    from ddbench.nn.probe import Probe
    from ddbench.training.batches import normalise

    first = plan.teachers[0]
    # A teacher that nothing needed so far is trained here: gradients are off for the probe alone.
    statistic = runner.compute_statistic(plan, first, Features())
    real = LabelledFeatures.from_tensors(statistic.tensors())
    teacher, distilled = runner.load_teacher(plan, first), runner.load_distilled(plan)
    tap = feature_tap(teacher)
    rows = []
    with torch.no_grad(), Probe(teacher, [tap], runner.ctx) as probe:
        for chunk in distilled.pixels.split(250):
            acts = probe(normalise(chunk.to(runner.ctx.device), plan.info))
            rows.append(acts.taps[tap]["features"].cpu())
    return FeatureSample(
        real.features, real.labels, torch.cat(rows), distilled.labels, distilled.weights
    )


def wanted_statistics(evaluators: Mapping[str, Evaluator]) -> tuple[Features, ...]:
    """Returns the statistics that evaluators want."""
    needs: set[str] = set()
    for evaluator in evaluators.values():
        needs |= evaluator.needs
    return (Features(),) if "features" in needs else ()
