"""The expected calibration error: is a student as sure of itself as it is right?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge

from ddbench import hookimpl
from ddbench.api.roles import Evaluator
from ddbench.api.types import Metric, Trial

_BELOW_ONE = 1 - 2**-24
"""The largest float32 below 1."""


class Calibration(Evaluator):
    """Expected calibration error (Naeini et al., AAAI 2015; Guo et al., ICML 2017, Eq. 3).

    Test images are sorted into bins by the probability of the student's first guess; `ece` is the
    mean gap between that probability and the accuracy of the bin, over images.
    """

    version = 2
    metrics = (Metric("ece", "%", higher_is_better=False),)

    bins: Annotated[int, Ge(1)] = 15
    """Number of bins, of equal width between 0 and 1."""

    def evaluate(self, trial: Trial) -> Mapping[str, float]:
        """Returns Σ_b n_b/t | accuracy_b − confidence_b |, in percent."""
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
