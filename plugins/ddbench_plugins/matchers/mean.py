"""Draws the mean feature of each class's images to that of its real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.features import Features, feature_tap
from ddbench.api.roles import Matcher, Statistic
from ddbench.api.types import Network, Step, Tap
from ddbench_plugins.distances.mmd import linear_mmd_squared
from ddbench_plugins.matchers._classwise import split_by_class


@dataclass(frozen=True, slots=True)
class Mean:
    """Squared gap between the mean features of synthetic and real images, class by class."""

    version: ClassVar[int] = 1
    target: ClassVar[None] = None
    separable: ClassVar[bool] = True

    layer: str = ""
    """Module whose output, averaged over positions, is matched; "" for the classifier's input."""
    weighted: bool = True
    """Whether images count by their weights."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (Features(layer=self.layer),)

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return (feature_tap(network, self.layer),)

    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
        """Sum over the classes of a batch.

        L = Σ_y ‖ Σ_j w_j f(x_j) − mean_i f(z_i) ‖², w normalised within class and batch

        Args:
            step: `known[Features(layer)]` holds the real features.

        Differences:
            DM draws a new random network and a new real batch at every step; here the network is
            the teacher and the mean is that of the whole class.

        References:
            Zhao and Bilen, Dataset Condensation with Distribution Matching, WACV 2023, Eq. 4.
        """
        gaps = [
            linear_mmd_squared(one.synthetic, one.real, one.weights)
            for one in split_by_class(step, self.layer, self.weighted)
        ]
        return torch.stack(gaps).sum()


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"mean": Mean()}
