"""Draws the features of each class to its real ones by the maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.features import Features, feature_tap
from ddbench.api.roles import Matcher, Statistic
from ddbench.api.types import Network, Step, Tap
from ddbench_plugins.distances.mmd import (
    linear_mmd_squared,
    polynomial_mmd_squared,
    rbf_mmd_squared,
)
from ddbench_plugins.matchers._classwise import split_by_class


@dataclass(frozen=True, slots=True)
class MaximumMeanDiscrepancy:
    """MMD² between synthetic and real features, class by class."""

    version: ClassVar[int] = 1
    target: ClassVar[None] = None

    layer: str = ""
    """Module whose output, averaged over positions, is matched; "" for the classifier's input."""
    kernel: Literal["linear", "polynomial", "rbf"] = "rbf"
    """"rbf": five Gaussians, as wide as the mean squared distance of all points. "linear": the gap
    of the means. "polynomial": (⟨u, v⟩ + 1)², of the second moments as well."""
    biased: bool = True
    """Whether pairs of a point with itself count; else a class needs two images a batch."""
    weighted: bool = True
    """Whether images count by their weights."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (Features(layer=self.layer),)

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return (feature_tap(network, self.layer),)

    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
        """Sum over the classes of a batch.

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
        distance = _DISTANCES[self.kernel]
        values = [
            distance(one.synthetic, one.real, one.weights, biased=self.biased)
            for one in split_by_class(step, self.layer, self.weighted)
        ]
        return torch.stack(values).sum()


_DISTANCES = {
    "linear": linear_mmd_squared,
    "polynomial": polynomial_mmd_squared,
    "rbf": rbf_mmd_squared,
}


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"mmd": MaximumMeanDiscrepancy()}
