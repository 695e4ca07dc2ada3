"""Expected calibration error of the student (Guo et al., ICML 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from annotated_types import Ge

from ddbench import hookimpl
from ddbench.api.roles import Evaluator
from ddbench.api.types import Metric, Trial


class Calibration(Evaluator):
    """Gap between confidence and accuracy, averaged over bins of equal width."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("ece", "%", higher_is_better=False),)

    bins: Annotated[int, Ge(1)] = 15
    """Bins of the confidence, between 0 and 1."""

    def evaluate(self, trial: Trial) -> Mapping[str, float]:
        """ECE = Σ_B |B|/t · | accuracy(B) − confidence(B) |, in percent."""
        confidence, predicted = trial.logits.double().softmax(1).max(1)  # t
        surplus = confidence - (predicted == trial.labels).double()
        bin_of = (confidence * self.bins).long().clamp(max=self.bins - 1)
        gaps = surplus.new_zeros(self.bins).index_add(0, bin_of, surplus).abs()
        return {"ece": 100 * gaps.sum().item() / len(surplus)}


@hookimpl
def ddbench_evaluators() -> Mapping[str, Evaluator]:
    return {"calibration": Calibration()}
