"""A base for matchers that compare the images of a batch with the real ones class by class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float

from ddbench.api.features import FeatureMatcher
from ddbench.api.types import Step


class ClassMatcher(FeatureMatcher):
    """Pulls the features of each class's images towards those of its real images."""

    weighted: bool = True
    """Count images with their weights, or else equally."""

    def _sum_over_classes(
        self, step: Step, distance: Callable[..., Float[torch.Tensor, ""]]
    ) -> Float[torch.Tensor, ""]:
        """Sums a distance over the classes of a batch, in any order and number.

        Args:
            step: `known[Features(layer)]` holds `features` and `labels`, on any device.
            distance: Of synthetic features [m d], all real ones of the class [n d], and weights [m]
                of the former, not normalised; None for equal weights.
        """
        classes = self.split_by_class(step, self.weighted)
        return torch.stack([distance(c.synthetic, c.real, c.weights) for c in classes]).sum()
