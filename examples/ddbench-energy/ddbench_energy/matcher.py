"""Draws the features of each class to its real ones by the energy distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ddbench import hookimpl
from ddbench.api.features import Features, feature_tap
from ddbench.api.roles import Matcher, Statistic
from ddbench.api.types import Activations, DatasetInfo, Network, Step, Tap, Tensors


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean distance of two real features of a class, E|Y − Y'|: `spread`, [k].

    The only part of the energy distance that all steps share, and the only one that costs n² d.
    """

    version: ClassVar[int] = 1

    layer: str = ""
    """As of the matcher."""

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return Features(layer=self.layer).taps(network)

    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        return Features(layer=self.layer).start(network, info)

    def update(self, state: Tensors, acts: Activations, labels: Int[Tensor, " b"]) -> Tensors:
        return Features(layer=self.layer).update(state, acts, labels)

    def finish(self, state: Tensors) -> Tensors:
        found = Features(layer=self.layer).finish(state)
        points, labels = found["features"].double(), found["labels"]
        classes = [points[labels == cls] for cls in range(int(labels.max()) + 1)]
        return {"spread": torch.stack([torch.cdist(own, own).mean() for own in classes]).float()}


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy distance between the features of synthetic and of real images, class by class."""

    version: ClassVar[int] = 1
    target: ClassVar[None] = None

    layer: str = ""
    """Module whose output, averaged over positions, is matched; "" for the classifier's input."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (Features(layer=self.layer), Spread(layer=self.layer))

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return (feature_tap(network, self.layer),)

    def loss(self, step: Step) -> Float[Tensor, ""]:
        """Sum over the classes of a batch.

        L = Σ_y ( 2 E|X − Y| − E|X − X'| − E|Y − Y'| )

        X and X' are features of synthetic images of class y, drawn with their weights; Y and Y'
        features of its real ones, drawn equally.

        Args:
            step: `known[Features(layer)]` holds the real features, `known[Spread(layer)]` their
                mean distances. Classes may come in any order and number.

        Returns:
            At least 0, and 0 only if both distributions are equal. In units of features.

        References:
            Székely and Rizzo, Energy statistics: a class of statistics based on distances, 2013.
        """
        features = step.acts.taps[feature_tap(step.network, self.layer)]["features"]
        real = step.known[Features(layer=self.layer)]
        spread = step.known[Spread(layer=self.layer)]["spread"].to(features)
        total = features.new_zeros(())
        for cls in step.labels.unique().tolist():
            here = step.labels == cls
            theirs = real["features"][real["labels"] == cls].to(features)
            weights = step.weights[here].to(features)
            total = total + energy_distance(features[here], weights, theirs, spread[cls])
        return total


def energy_distance(
    points: Float[Tensor, "m d"],
    weights: Float[Tensor, " m"],
    real: Float[Tensor, "n d"],
    spread: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """2 Σ_j w_j mean_i |x_j − y_i| − Σ_jl w_j w_l |x_j − x_l| − mean_il |y_i − y_l|

    In one dimension it is the square of `scipy.stats.energy_distance`.

    Args:
        points: x, of one class.
        weights: w, which need not sum to 1.
        real: y, equally weighted.
        spread: The last term.
    """
    shares = weights / weights.sum()
    across = shares @ distances(points, real).mean(1)
    within = shares @ distances(points, points) @ shares
    return 2 * across - within - spread


def distances(x: Float[Tensor, "m d"], y: Float[Tensor, "n d"]) -> Float[Tensor, "m n"]:
    """Euclidean distances; the gradient at distance 0 is 0.

    From differences, not from a matrix product: rounding would tear a point from itself.
    """
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"energy": Energy()}
