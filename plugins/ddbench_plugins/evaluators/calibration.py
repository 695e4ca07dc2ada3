"""Whether a student is as sure of itself as it is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ddbench import hookimpl
from ddbench.api.roles import Evaluator
from ddbench.api.types import Metric, Trial
from ddbench_plugins._options import check_at_least

_BELOW_ONE = 1 - 2**-24
"""The largest float32 below 1."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected calibration error (Naeini et al., AAAI 2015; Guo et al., ICML 2017, Eq. 3).

    Test images are sorted into bins by the probability of the student's first guess; `ece` is the
    mean gap between that probability and the accuracy of the bin, over images.
    """

    version: ClassVar[int] = 2
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("ece", "%", higher_is_better=False),)

    bins: int = 15
    """Of equal width between 0 and 1."""

    def __post_init__(self) -> None:
        check_at_least(self, bins=1)

    def evaluate(self, trial: Trial) -> Mapping[str, float]:
        """Σ_b n_b/t | accuracy_b − confidence_b |, in percent."""
        from torchmetrics.functional.classification import multiclass_calibration_error

        # As probabilities: torchmetrics takes logits that all lie in [0, 1] for such. A one would
        # get a bin of its own, beyond the last.
        sure = trial.logits.double().softmax(1).float().clamp(max=_BELOW_ONE)
        error = multiclass_calibration_error(
            sure, trial.labels, num_classes=trial.info.num_classes, n_bins=self.bins, norm="l1"
        )
        return {"ece": 100 * float(error)}


@hookimpl
def ddbench_evaluators() -> Mapping[str, Evaluator]:
    return {"calibration_error": Calibration()}
