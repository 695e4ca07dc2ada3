"""A base for matchers that compare the images of a batch with the real ones class by class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float

from ddbench.api.features import Features, feature_tap
from ddbench.api.roles import Matcher, Statistic
from ddbench.api.types import Network, Step, Tap
from ddbench_plugins.matchers._atoms import read_features


class ClassMatcher(Matcher):
    """Pulls the features of each class's images towards those of its real images."""

    layer: str = ""
    """Module whose output, averaged over positions, is matched; "" for the classifier's input."""
    weighted: bool = True
    """Count images with their weights, or else equally."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (Features(layer=self.layer),)

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return (feature_tap(network, self.layer),)

    def _sum_over_classes(
        self, step: Step, distance: Callable[..., Float[torch.Tensor, ""]]
    ) -> Float[torch.Tensor, ""]:
        """Sums a distance over the classes of a batch, in any order and number.

        Args:
            step: `known[Features(layer)]` holds `features` and `labels`, on any device.
            distance: Of synthetic features [m d], all real ones of the class [n d], and weights [m]
                of the former, not normalised; None for equal weights.
        """
        features, known = read_features(step, self.layer), step.known[Features(layer=self.layer)]
        losses = []
        for cls in step.labels.unique().tolist():
            own = step.labels == cls
            real = known["features"][known["labels"] == cls].to(features)
            weights = step.weights[own] if self.weighted else None
            losses.append(distance(features[own], real, weights))
        return torch.stack(losses).sum()
