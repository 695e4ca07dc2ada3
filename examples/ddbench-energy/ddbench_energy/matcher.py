"""Draws the features of each class to its real ones by the energy distance."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.features import FeatureMatcher, Features
from ddbench.api.roles import Matcher, Statistic
from ddbench.api.types import Step, Tensors


class Spread(Features):
    """Mean distance of two real features of a class, E|Y − Y'|: `spread`, [k].

    The only part of the energy distance that all steps share, and the only one that costs n² d.
    """

    def finish(self, state: Tensors) -> Tensors:
        known = Features(layer=self.layer).finish(state)
        points, labels = known["features"].double(), known["labels"]
        classes = [points[labels == cls] for cls in range(int(labels.max()) + 1)]
        return {"spread": torch.stack([torch.cdist(own, own).mean() for own in classes]).float()}


class Energy(FeatureMatcher):
    """Energy distance between the features of synthetic and of real images, class by class."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (Features(layer=self.layer), Spread(layer=self.layer))

    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
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
        spread = step.known[Spread(layer=self.layer)]["spread"]
        total = step.images.new_zeros(())
        for one in self.split_by_class(step):
            within = spread[one.cls].to(one.synthetic)
            total = total + energy_distance(one.synthetic, one.shares(), one.real, within)
        return total


def energy_distance(
    points: Float[torch.Tensor, "m d"],
    weights: Float[torch.Tensor, " m"],
    real: Float[torch.Tensor, "n d"],
    spread: Float[torch.Tensor, ""],
) -> Float[torch.Tensor, ""]:
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


def distances(
    x: Float[torch.Tensor, "m d"], y: Float[torch.Tensor, "n d"]
) -> Float[torch.Tensor, "m n"]:
    """Euclidean distances; the gradient at distance 0 is 0.

    From differences, not from a matrix product: rounding would tear a point from itself.
    """
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"energy": Energy()}
