"""Draws the mean feature of each class's images to that of its real ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Matcher
from ddbench.api.types import Step
from ddbench_plugins.distances.mmd import linear_mmd_squared
from ddbench_plugins.matchers._classwise import ClassMatcher


class Mean(ClassMatcher):
    """Squared gap between the mean features of synthetic and real images, class by class."""

    separable = True

    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns the sum of the gaps over the classes of a batch.

        L = Σ_y ‖ Σ_j w_j f(x_j) − mean_i f(z_i) ‖², w normalised within class and batch

        Args:
            step: `known[Features(layer)]` holds the real features.

        Differences:
            DM draws a new random network and a new real batch at every step; here the network is
            the teacher and the mean is that of the whole class.

        References:
            Zhao and Bilen, Dataset Condensation with Distribution Matching, WACV 2023, Eq. 4.
        """
        return self._sum_over_classes(step, linear_mmd_squared)


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"mean": Mean()}
