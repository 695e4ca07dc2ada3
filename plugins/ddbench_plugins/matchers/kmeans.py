"""Draws every image to a k-means centre of its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Matcher
from ddbench.api.types import Atoms
from ddbench_plugins.distances.transport import Cloud
from ddbench_plugins.matchers._atoms import (
    AtomMatcher,
    FeatureTarget,
    WeightFloor,
    check_features,
    cluster,
    draw_seed,
    make_atoms,
    project_to_simplex,
)


class KMeansTarget(FeatureTarget):
    """k-means centres of the features of a class, weighted by their shares of the features."""

    restarts: Annotated[int, Ge(1)] = 3
    """k-means++ starts, of which the best counts."""
    weight_floor: WeightFloor = 0.01
    """Smallest weight of an atom, as a part of 1/m."""

    def atoms(
        self, features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
    ) -> Atoms:
        """Finds the Wasserstein barycenter with free weights directly, by k-means.

        min_b 1/n Σ_i min_j ‖z_i − b_j‖² = min_{b, w} W₂²(Σ_j w_j δ_{b_j}, 1/n Σ_i δ_{z_i})

        Args:
            features: z, the features of one class.
            count: m, at most n.
            rng: Seeds k-means++.

        Raises:
            DDBenchError: the class has fewer features than `count`, or some are not finite.

        References:
            Pollard, Quantization and the Method of k-Means, 1982. Canas and Rosasco, Learning
            Probability Measures with Respect to Optimal Transport Metrics, NeurIPS 2012.
        """
        real = check_features(features, count)
        clusters = cluster(real, count, draw_seed(rng), restarts=self.restarts)
        weights = project_to_simplex(clusters.shares, self.weight_floor / count)
        centres = torch.from_numpy(clusters.centres)
        return make_atoms(centres, torch.from_numpy(weights), Cloud.of(real), like=features)


class KMeans(AtomMatcher):
    """Distance of every image's feature to its k-means centre."""

    target: KMeansTarget = KMeansTarget()
    """How the centres are found."""


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"kmeans": KMeans()}
