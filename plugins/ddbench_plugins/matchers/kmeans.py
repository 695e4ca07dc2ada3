"""Draws every image to a k-means centre of its class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.features import Features
from ddbench.api.roles import Matcher
from ddbench.api.types import Atoms
from ddbench_plugins._options import check_at_least
from ddbench_plugins.distances.transport import Cloud
from ddbench_plugins.matchers._atoms import (
    Norm,
    TowardsAtoms,
    check_features,
    check_floor,
    cluster,
    draw_seed,
    make_atoms,
    project_to_simplex,
)


@dataclass(frozen=True, slots=True)
class KMeansTarget:
    """k-means centres of the features of a class, weighted by their shares of the features."""

    version: ClassVar[int] = 1

    layer: str = ""
    """Module whose output, averaged over positions, is matched; "" for the classifier's input."""
    restarts: int = 3
    """k-means++ starts, of which the best counts."""
    weight_floor: float = 0.01
    """Smallest weight of an atom, as a part of 1/m."""

    def __post_init__(self) -> None:
        check_at_least(self, restarts=1)
        check_floor(self.weight_floor)

    @property
    def statistic(self) -> Features:
        return Features(layer=self.layer)

    def atoms(
        self, features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
    ) -> Atoms:
        """What the Wasserstein barycenter with free weights minimises, minimised directly.

        min_b 1/n Σ_i min_j ‖z_i − b_j‖² = min_{b, w} W₂²(Σ_j w_j δ_{b_j}, 1/n Σ_i δ_{z_i})

        Args:
            features: z, of one class.
            count: m, at most n.
            rng: Seeds k-means++.

        Raises:
            DDBenchError: the class has fewer features than `count`, or some are not finite.

        References:
            Pollard, Quantization and the Method of k-Means, 1982. Canas and Rosasco, Learning
            Probability Measures with Respect to Optimal Transport Metrics, NeurIPS 2012.
        """
        real = check_features(features, count)
        found = cluster(real, count, draw_seed(rng), restarts=self.restarts)
        weights = project_to_simplex(found.shares, self.weight_floor / count)
        centres = torch.from_numpy(found.centres)
        return make_atoms(centres, torch.from_numpy(weights), Cloud.of(real), like=features)


@dataclass(frozen=True, slots=True)
class KMeans(TowardsAtoms):
    """Distance of every image's feature to its k-means centre."""

    version: ClassVar[int] = 1

    target: KMeansTarget = field(default_factory=KMeansTarget)
    """How the centres are found."""
    norm: Norm = "squared"
    """"squared": a sum of squares. "l2": one unsquared norm over the batch."""


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"kmeans": KMeans()}
