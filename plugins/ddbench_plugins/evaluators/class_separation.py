"""Spread and distance of the classes of a distilled set in the teacher's features."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Evaluator
from ddbench.api.types import Metric, Trial


class ClassSeparation(Evaluator):
    """Intra-class spread and inter-class distance of the distilled images' features.

    `intra_class_spread` is √(mean over classes of tr S_c), with S_c the unbiased covariance of a
    class: the root mean squared distance of an image to the mean of its class. It is not reported
    where no class has two images. `inter_class_distance` is the root mean squared distance between
    the means of two classes. With m images in each class (distance / spread)² m/2 is the index of
    Calinski and Harabasz (1974).

    Differences:
        Weights of images do not count. Means of few images lie farther apart: compare rows of equal
        IPC and teacher. Neither number is better high or low; rows of random images show what real
        ones have.
    """

    needs = frozenset({"features"})
    metrics = (
        Metric("intra_class_spread", higher_is_better=None),
        Metric("inter_class_distance", higher_is_better=None),
    )

    def evaluate(self, trial: Trial) -> Mapping[str, float]:
        """Returns `intra_class_spread` and `inter_class_distance`, as far as images allow.

        Raises:
            DDBenchError: a class has no distilled image.
        """
        sample = trial.features()
        classes = []
        for cls, name in enumerate(trial.info.classes):
            made = sample.distilled[sample.distilled_labels == cls].cpu().double()
            if not len(made):
                raise DDBenchError(
                    f"class '{name}' has no distilled image",
                    "class_separation needs one of every class",
                    hint="leave the evaluator out: --evaluator accuracy",
                )
            classes.append(made)
        metrics = {
            "intra_class_spread": intra_class_spread(classes),
            "inter_class_distance": inter_class_distance(classes),
        }
        return {name: value for name, value in metrics.items() if value is not None}


def intra_class_spread(classes: list[Float[torch.Tensor, "_ d"]]) -> float | None:
    """Returns √(mean trace of the classes' unbiased covariances); None without two of a class."""
    traces = [points.var(dim=0, correction=1).sum() for points in classes if len(points) > 1]
    return math.sqrt(torch.stack(traces).mean()) if traces else None


def inter_class_distance(classes: list[Float[torch.Tensor, "_ d"]]) -> float | None:
    """Returns √(mean squared distance between the means of two classes); None of one class."""
    means = torch.stack([points.mean(0) for points in classes])
    return math.sqrt(torch.pdist(means).square().mean()) if len(means) > 1 else None


@hookimpl
def ddbench_evaluators() -> Mapping[str, Evaluator]:
    return {"class_separation": ClassSeparation()}
