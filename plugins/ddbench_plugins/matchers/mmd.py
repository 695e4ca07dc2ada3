"""Draws the features of each class to its real ones by the maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Matcher
from ddbench.api.types import Step
from ddbench_plugins.distances.mmd import (
    linear_mmd_squared,
    polynomial_mmd_squared,
    rbf_mmd_squared,
)
from ddbench_plugins.matchers._classwise import ClassMatcher

_DISTANCES = {
    "linear": linear_mmd_squared,
    "polynomial": polynomial_mmd_squared,
    "rbf": rbf_mmd_squared,
}


class MaximumMeanDiscrepancy(ClassMatcher):
    """MMD² between synthetic and real features, class by class."""

    kernel: Literal["linear", "polynomial", "rbf"] = "rbf"
    """"rbf": five Gaussians, as wide as the mean squared distance of all points. "linear": the gap
    of the means. "polynomial": (⟨u, v⟩ + 1)², of the second moments as well."""
    biased: bool = True
    """Whether pairs of a point with itself count; else a class needs two images a batch."""

    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns the sum of MMD² over the classes of a batch.

        L = Σ_y MMD²(Σ_j w_j δ_{f(x_j)}, 1/n Σ_i δ_{f(z_i)}), w normalised within class and batch

        Args:
            step: `known[Features(layer)]` holds the real features.

        Raises:
            DDBenchError: not `biased`, and a class has a single image in the batch.

        Differences:
            M3D draws a random network and a real batch every few steps; here the network is the
            teacher and the real side is the whole class.

        References:
            Zhang et al., M3D: Dataset Condensation by Minimizing Maximum Mean Discrepancy, 2024.
        """
        distance = partial(_DISTANCES[self.kernel], biased=self.biased)
        return self._sum_over_classes(step, distance)


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"mmd": MaximumMeanDiscrepancy()}
