"""Draws every image to an atom of its class's sliced Wasserstein barycenter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Matcher
from ddbench.api.types import Atoms
from ddbench_plugins.distances.sliced import draw_directions, sliced_wasserstein_squared
from ddbench_plugins.distances.transport import Cloud
from ddbench_plugins.matchers._atoms import (
    AtomMatcher,
    FeatureTarget,
    check_features,
    draw_start,
    make_atoms,
)

_RIDGE = 1e-9
_STILL = 1e-9
"""A relative displacement that counts as none."""


class SlicedBarycenterTarget(FeatureTarget):
    """m equally weighted atoms whose projections resemble those of the features of a class."""

    projections: Annotated[int, Ge(0)] = 0
    """Random directions; 0: two a dimension. Too few do not move the atoms in all dimensions."""
    iterations: Annotated[int, Ge(0)] = 50
    """Steps at most; fewer where the atoms stand still."""
    step: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Length of a step."""

    def atoms(
        self, features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
    ) -> Atoms:
        """Finds atoms of a small sliced distance to the features, started from real ones.

        min_b mean_θ W₂²(1/m Σ_j δ_{θᵀb_j}, 1/n Σ_i δ_{θᵀz_i}) over fixed directions θ

        Args:
            features: z, the features of one class.
            count: m, at most n.
            rng: Draws the directions and the start.

        Returns:
            The report has `sliced_objective` for the same directions, besides the exact W₂².

        Raises:
            DDBenchError: the class has fewer features than `count`, or some are not finite.

        Differences:
            The paper reports results of such a variant (Table 5) and gives neither equations nor
            code; directions, weights and steps are ours.

        References:
            Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures, 2015.
        """
        real = check_features(features, count)
        start = draw_start(real, count, rng)
        directions = draw_directions(real.shape[1], self.projections or 2 * real.shape[1], rng)
        points = find_sliced_barycenter(real, start, directions, self.iterations, self.step)
        sliced = sliced_wasserstein_squared(points, real, directions).item()
        weights = torch.full((count,), 1 / count, dtype=torch.float64)
        return make_atoms(points, weights, Cloud.of(real), features, sliced_objective=sliced)


def find_sliced_barycenter(
    real: Float[torch.Tensor, "n d"],
    start: Float[torch.Tensor, "m d"],
    directions: Float[torch.Tensor, "d l"],
    iterations: int,
    step: float,
) -> Float[torch.Tensor, "m d"]:
    """Moves atoms by steps none of which makes the sliced distance larger.

    b_j ← b_j + γ argmin_δ Σ_θ (q_θ(rank of θᵀb_j) − θᵀ(b_j + δ))²

    q_θ(r) is the mean of the r-th of m equal blocks of quantiles of θᵀz: where the atom of rank r
    is best along θ. The least squares in δ have one matrix for all atoms.

    Args:
        real: z, in float64.
        start: First positions, in float64.
        directions: θ as columns, in float64.
        iterations: Steps at most.
        step: γ, up to 1.
    """
    wanted = average_quantiles(directions.T @ real.T, len(start))  # l m
    gram = directions @ directions.T
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean())  # fewer directions than features
    solve = torch.linalg.solve(gram, directions).T  # l d
    points = start
    for _ in range(iterations):
        projected = directions.T @ points.T  # l m
        goal = torch.empty_like(projected).scatter(1, projected.argsort(1), wanted)
        move = (goal - projected).T @ solve  # m d
        points = points + step * move
        if move.norm() <= _STILL * points.norm():
            break
    return points


def average_quantiles(
    values: Float[torch.Tensor, "l n"], blocks: int
) -> Float[torch.Tensor, "l m"]:
    """Returns the means of `blocks` equal parts of the quantile function of each row.

    m ∫_{r/m}^{(r+1)/m} F⁻¹(s) ds; where m does not divide n, a value counts in parts.
    """
    rows, count = values.shape
    sums = torch.cat([values.new_zeros(rows, 1), values.sort(1).values.cumsum(1)], 1)
    ends = torch.arange(blocks + 1, dtype=values.dtype, device=values.device) * (count / blocks)
    below = ends.floor().long().clamp(max=count - 1)
    integral = torch.lerp(sums[:, below], sums[:, below + 1], ends - below)
    return integral.diff(dim=1) * (blocks / count)


class SlicedWasserstein(AtomMatcher):
    """Distance of every image's feature to its atom of the class's sliced barycenter."""

    target: SlicedBarycenterTarget = SlicedBarycenterTarget()
    """How the atoms are found."""


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"sliced_wasserstein": SlicedWasserstein()}
