"""Draws every image to an atom of its class's Wasserstein barycenter (WMDD)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Interval
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Matcher
from ddbench.api.types import Atoms
from ddbench_plugins.distances.transport import (
    Cloud,
    Transport,
    solve_transport,
    solve_transport_from_guess,
)
from ddbench_plugins.matchers._atoms import (
    AtomMatcher,
    FeatureTarget,
    WeightFloor,
    check_features,
    draw_start,
    make_atoms,
    project_to_simplex,
)

_STILL = 1e-9
"""A relative fall of the objective that counts as none."""


class BarycenterTarget(FeatureTarget):
    """The best m weighted atoms for the features of a class, in the sense of W₂²."""

    weights: Literal["learned", "uniform"] = "learned"
    """"learned" as in the paper; "uniform" gives every atom 1/m, as in the released code."""
    iterations: Annotated[int, Ge(0)] = 10
    """Alternations of weights and positions; fewer where nothing changes any more."""
    weight_steps: Annotated[int, Ge(0)] = 3
    """Subgradient steps on the weights in each alternation."""
    theta: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Length of the position step; 1 is the barycentric projection."""
    init: Literal["real", "normal"] = "real"
    """Start from random real features, or from N(0, 1) as in the released code."""
    weight_floor: WeightFloor = 0.01
    """Smallest weight of an atom, as a part of 1/m."""

    def atoms(
        self, features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
    ) -> Atoms:
        """Finds positions b and weights w that make the transport to the features cheap.

        min_{b, w} W₂²(Σ_j w_j δ_{b_j}, 1/n Σ_i δ_{z_i}), by turns in w and in b

        Args:
            features: z, the features of one class.
            count: m, at most n.
            rng: Draws the start.

        Returns:
            Weights and positions of one moment: Σ_j w_j b_j is the mean of the features if theta is
            1. The report says what the transport costs and what k-means reaches.

        Raises:
            DDBenchError: the class has fewer features than `count`, or some are not finite.

        Differences:
            The paper leaves start and step length open: here, real features, one position step
            with equal weights before the first alternation, and Polyak's step length. The released
            code uses POT's `free_support_barycenter`, which is `weights="uniform"`,
            `init="normal"`, `iterations=100`; where it learns weights, they belong to other
            positions than it returns.

        References:
            Liu et al., Dataset Distillation via the Wasserstein Metric, arXiv:2311.18531, Alg. 1.
            Cuturi and Doucet, Fast Computation of Wasserstein Barycenters, ICML 2014.
        """
        real = check_features(features, count)
        if self.init == "real":
            start = draw_start(real, count, rng)
        else:
            start = torch.randn(count, real.shape[1], generator=rng, dtype=torch.float64)
        cloud = Cloud.of(real)
        best = find_barycenter(
            cloud,
            start,
            iterations=self.iterations,
            weight_steps=self.weight_steps if self.weights == "learned" else 0,
            theta=self.theta,
            smallest=self.weight_floor / count,
        )
        return make_atoms(best.positions, best.weights, cloud, features, guess=best.potential)


@dataclass(frozen=True, slots=True)
class Barycenter:
    """The atoms that the alternations end with."""

    positions: Float[torch.Tensor, "m d"]
    weights: Float[torch.Tensor, " m"]
    objectives: list[float]
    """W₂² after every weight step; never rises."""
    potential: Float[np.ndarray, " m"] | None
    """Potential of the last transport, for the positions before the last step."""


def find_barycenter(
    real: Cloud,
    start: Float[torch.Tensor, "m d"],
    *,
    iterations: int,
    weight_steps: int,
    theta: float,
    smallest: float,
) -> Barycenter:
    """Improves weights and positions of atoms by turns.

    Args:
        real: z, in float64.
        start: First positions, in float64.
        iterations: Alternations, after a first position step with equal weights.
        weight_steps: 0 keeps the weights equal.
        theta: Damping of the position steps.
        smallest: No weight is below.
    """
    count = len(start)
    weights = np.full(count, 1 / count)
    values: list[float] = []
    cost = real.squared_distances(start).numpy()
    even = np.full(cost.shape[1], 1 / cost.shape[1])
    plan = solve_transport(weights, even, cost).plan
    positions = step_positions(start, weights, plan, real.given, theta)
    potential = None
    for _ in range(iterations):
        cost = real.squared_distances(positions).numpy()
        weights, transport = step_weights(weights, cost, weight_steps, smallest, potential)
        potential = transport.potential
        positions = step_positions(positions, weights, transport.plan, real.given, theta)
        values.append(transport.value)
        if len(values) > 1 and values[-2] - values[-1] <= _STILL * values[-1]:
            break
    return Barycenter(positions, torch.from_numpy(weights), values, potential)


def step_weights(
    weights: Float[np.ndarray, " m"],
    cost: Float[np.ndarray, "m n"],
    steps: int,
    smallest: float,
    guess: Float[np.ndarray, " m"] | None = None,
) -> tuple[Float[np.ndarray, " m"], Transport]:
    """Improves weights for fixed positions by projected subgradients, and transports them.

    w ← Π(w − η β),  η = (f(w) − f*) / ‖β‖²,  f(w) = W₂² for weights w

    β is the centred dual potential of the atoms. f* = 1/n Σ_i min_j C_ij is known, since the best
    weights are the parts of the features that are nearest to each atom; so Polyak's step length
    needs no tuning and does not depend on the features' scale.

    Args:
        weights: w to start from.
        cost: C, squared distances of atoms and features.
        steps: How many; 0 returns the weights as they are.
        smallest: Π projects to weights that are not below.
        guess: Potentials of a similar transport, which make it faster; the result is the same.

    Returns:
        The best weights seen, the first ones included.
    """
    lowest = cost.min(0).mean()
    now = best = solve_transport_from_guess(weights, cost, guess)
    best_weights = weights
    for _ in range(steps):
        slope = now.potential - now.potential.mean()
        room, square = now.value - lowest, slope @ slope
        if room <= _STILL * now.value or square == 0:
            break
        weights = project_to_simplex(weights - room / square * slope, smallest)
        now = solve_transport_from_guess(weights, cost, now.potential)
        if now.value < best.value:
            best, best_weights = now, weights
    return best_weights, best


def step_positions(
    positions: Float[torch.Tensor, "m d"],
    weights: Float[np.ndarray, " m"],
    plan: Float[np.ndarray, "m n"],
    real: Float[torch.Tensor, "n d"],
    theta: float,
) -> Float[torch.Tensor, "m d"]:
    """Moves each atom towards the mean of what is sent to it, by Newton's step.

    b_j ← b_j − θ/w_j Σ_i t_ij (b_j − z_i)
    """
    from scipy.sparse import csr_array

    # A vertex of the polytope: at most m + n − 1 entries.
    atoms, points = plan.nonzero()
    ends = np.bincount(atoms + 1, minlength=len(plan) + 1).cumsum()
    share = csr_array((plan[atoms, points] / weights[atoms], points, ends), shape=plan.shape)
    means = torch.from_numpy(share @ real.numpy())
    return torch.lerp(positions, means, theta)


class Wasserstein(AtomMatcher):
    """Distance of every image's feature to its atom of the class's Wasserstein barycenter."""

    target: BarycenterTarget = BarycenterTarget()
    """How the atoms are found."""


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"wasserstein": Wasserstein()}
