"""Accuracy of the student on the test data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.roles import Evaluator
from ddbench.api.types import Metric, Trial

_CHUNK = 2048
"""Rows at a time: torchmetrics makes several one-hot copies of the logits for top-5."""


class Accuracy(Evaluator):
    """Part of the test images whose class is the student's first guess, or among its first five."""

    metrics = (Metric("top1", "%"), Metric("top5", "%"))

    def evaluate(self, trial: Trial) -> Mapping[str, float]:
        """Returns `top1` and, for more than five classes, `top5`, in percent of all test images."""
        guesses = {"top1": 1, "top5": 5}
        return {
            name: 100 * count_hits(trial.logits, trial.labels, count) / len(trial.labels)
            for name, count in guesses.items()
            if count == 1 or trial.info.num_classes > count
        }


def count_hits(
    logits: Float[torch.Tensor, "t k"], labels: Int[torch.Tensor, " t"], guesses: int
) -> int:
    """Counts the rows whose label is among the so many highest logits."""
    from torchmetrics.functional.classification import multiclass_stat_scores

    hits = 0
    for some, theirs in zip(logits.split(_CHUNK), labels.split(_CHUNK), strict=True):
        scores = multiclass_stat_scores(
            some, theirs, num_classes=logits.shape[1], average="micro", top_k=guesses
        )
        hits += int(scores[0])  # true positives
    return hits


@hookimpl
def ddbench_evaluators() -> Mapping[str, Evaluator]:
    return {"accuracy": Accuracy()}
