"""Coverage and density: do distilled images reach the features of real ones, and how densely?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Evaluator
from ddbench.api.types import Metric, Trial

SURFACE = 1e-4
"""Relative width of a ball's surface, which is outside: a chosen real image lies on the surface of
the balls of which it is the k-th neighbour, and rounding would decide."""


class Coverage(Evaluator):
    """Coverage and density (Naeem et al., ICML 2020, arXiv:2002.09797, Eq. 3 and 4), mean over
    classes.

    Each real image of a class has a ball that reaches to its k-th nearest real neighbour.
    `coverage` is the part of these balls that hold a distilled image of the class, in [0, 1];
    `density` how many balls a distilled image lies in, over k: about 1 for images like real ones.

    Differences:
        Class by class, as distilled sets are made, rather than over all images. Weights of images
        do not count. Few images cover little: compare rows of equal IPC.
    """

    needs = frozenset({"features"})
    metrics = (Metric("coverage"), Metric("density"))

    neighbours: Annotated[int, Ge(1)] = 5
    """Which neighbour a ball reaches to: k."""

    def evaluate(self, trial: Trial) -> Mapping[str, float]:
        """Returns `coverage` and `density`.

        Raises:
            DDBenchError: a class has no distilled image, or no more than k real ones.
        """
        sample = trial.features()
        values = []
        for cls, name in enumerate(trial.info.classes):
            real = sample.real[sample.real_labels == cls].cpu().double()
            made = sample.distilled[sample.distilled_labels == cls].cpu().double()
            self._check(name, len(real), len(made))
            values.append(coverage_and_density(made, real, self.neighbours))
        coverage, density = torch.tensor(values, dtype=torch.float64).mean(0).tolist()
        return {"coverage": coverage, "density": density}

    def _check(self, name: str, real: int, made: int) -> None:
        if real <= self.neighbours or not made:
            raise DDBenchError(
                f"class '{name}' has {real} real and {made} distilled images",
                f"coverage needs more than {self.neighbours} real and a distilled one",
                hint="fewer neighbours, say --evaluator coverage[neighbours=1], or leave it out",
            )


def coverage_and_density(
    made: Float[torch.Tensor, "m d"], real: Float[torch.Tensor, "n d"], neighbours: int
) -> tuple[float, float]:
    """Returns the part of the balls that hold a made point, and such a point's balls over k."""
    # Distances without the matrix product, whose cancellation would move points across a surface.
    between = torch.cdist(real, real, compute_mode="donot_use_mm_for_euclid_dist")
    radii = between.fill_diagonal_(torch.inf).kthvalue(neighbours, dim=1).values  # n
    reached = torch.cdist(real, made, compute_mode="donot_use_mm_for_euclid_dist")  # n m
    inside = reached < radii[:, None] * (1 - SURFACE)
    covered = inside.any(1).double().mean().item()
    return covered, inside.sum().item() / (neighbours * len(made))


@hookimpl
def ddbench_evaluators() -> Mapping[str, Evaluator]:
    return {"coverage": Coverage()}
