"""Optimal transport between weighted point clouds, exact; faster where the potentials are guessed.

Points are rows. Weights may be left out (uniform) and are normalised to sum to 1.

A guess helps where few atoms share many points: most points lie so clearly nearest to one atom that
the guess settles them, and only the others go through the network simplex. The result is the exact
one: the potentials found must certify it for the settled points too, or those go back to the
undecided ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from ddbench.api.plain import use_plain_operations

PIVOTS = 10_000_000
"""Most pivots of the network simplex, which ends by itself long before."""
_SLACK = 4
"""Points an atom may give away beyond those that it has too many of, under the guess."""
_MANY = 40
"""Points an atom from which on a guess pays (measured: at 26 it does not, at 130 it does)."""
_WORTH = 0.3
"""With more than this part of the points undecided, solving for all of them is as fast."""
_OPTIMAL = 1
"""Status that POT's solver gives an optimal plan."""
_ROUNDING = 1e-12
"""Relative slack of the certificate, far above float64's rounding and far below any tolerance."""


def squared_distances(
    x: Float[torch.Tensor, "m d"], y: Float[torch.Tensor, "n d"]
) -> Float[torch.Tensor, "m n"]:
    """Returns D_ij = ‖x_i − y_j‖², by one matrix product; never below 0."""
    return Cloud.of(y).squared_distances(x)


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points that others are compared to many times: their centre and norms are computed once."""

    given: Float[torch.Tensor, "n d"]
    centre: Float[torch.Tensor, " d"]
    points: Float[torch.Tensor, "n d"]
    """The points less their centre, so that rounding errors of the matrix product shrink."""
    squares: Float[torch.Tensor, " n"]

    @classmethod
    def of(cls, points: Float[torch.Tensor, "n d"]) -> Cloud:
        centre = points.detach().mean(0)
        centred = points - centre
        return cls(points, centre, centred, centred.square().sum(1))

    def squared_distances(self, x: Float[torch.Tensor, "m d"]) -> Float[torch.Tensor, "m n"]:
        """Returns D_ij = ‖x_i − y_j‖² to the points y."""
        x = x - self.centre
        squares = x.square().sum(1)[:, None] + self.squares
        return torch.addmm(squares, x, self.points.T, alpha=-2).clamp_min(0)


@dataclass(frozen=True, slots=True)
class Transport:
    """An optimal transport plan and the potentials that certify it."""

    value: float
    """⟨plan, cost⟩."""
    plan: Float[np.ndarray, "m n"]
    """Rows sum to the first marginal, columns to the second."""
    potential: Float[np.ndarray, " m"]
    """Dual variable of the first marginal: a subgradient of the value in it, up to a constant."""
    other: Float[np.ndarray, " n"]
    """Dual variable of the second marginal."""


def solve_transport(
    first: Float[np.ndarray, " m"], second: Float[np.ndarray, " n"], cost: Float[np.ndarray, "m n"]
) -> Transport:
    """Solves the optimal transport between two histograms by the network simplex.

    min_T ⟨T, C⟩ = max_{u, v} ⟨a, u⟩ + ⟨b, v⟩ with T 1 = a, Tᵀ 1 = b, T ≥ 0 and u_i + v_j ≤ C_ij.

    Args:
        first: a, sums to 1.
        second: b, sums to 1.
        cost: C.

    References:
        Bonneel et al., Displacement Interpolation Using Lagrangian Mass Transport, 2011 (POT's
        solver).
    """
    import ot

    plan, log = ot.emd(
        first, second, cost, numItermax=PIVOTS, log=True, center_dual=False, check_marginals=False
    )
    return Transport(float(log["cost"]), plan, log["u"], log["v"])


def wasserstein_squared(
    x: Float[torch.Tensor, "m d"],
    y: Float[torch.Tensor, "n d"],
    a: Float[torch.Tensor, " m"] | None = None,
    b: Float[torch.Tensor, " n"] | None = None,
) -> float:
    """Returns W₂² between two point clouds, exactly, in float64.

    W₂² = min_T Σ_ij T_ij ‖x_i − y_j‖² with T 1 = a, Tᵀ 1 = b.

    Args:
        x: Points of the first cloud.
        y: Points of the second.
        a: Weights of x.
        b: Weights of y.
    """
    x, y = x.detach().double(), y.detach().double()
    cost = squared_distances(x, y).cpu().numpy()
    clouds = ((x, a), (y, b))
    first, second = (normalise_weights(*cloud).detach().cpu().numpy() for cloud in clouds)
    return solve_transport(first, second, cost).value


def normalise_weights(
    points: Float[torch.Tensor, "n d"], weights: Float[torch.Tensor, " n"] | None
) -> Float[torch.Tensor, " n"]:
    """Returns weights that sum to 1, of the points' kind; equal ones for None."""
    if weights is None:
        return points.new_full((len(points),), 1 / len(points))
    weights = weights.to(points)
    return weights / weights.sum()


# -- guessed, then certified -------------------------------------------------------------------


def solve_transport_from_guess(
    first: Float[np.ndarray, " m"],
    cost: Float[np.ndarray, "m n"],
    guess: Float[np.ndarray, " m"] | None,
) -> Transport:
    """Solves the transport to n points of weight 1/n as `solve_transport` does, faster.

    A point i belongs to the atom that minimises C_ij − u_j, unless several do. Points whose best
    atom is best by far are given to it; the rest is a small problem with the atoms' remaining
    weights. Its potentials u are optimal for all if every settled point still has its atom as the
    best: then plan and potentials satisfy complementary slackness.

    Args:
        first: Weights of the atoms; sum to 1.
        cost: C.
        guess: u of a similar problem, up to a constant; any numbers give the same transport, slower
            if they are far off. None solves for all points at once, as do few points an atom and
            `DDBENCH_PLAIN=1`.
    """
    count, points = cost.shape
    whole = np.full(points, 1 / points)
    few = count == 1 or points < _MANY * count
    if guess is None or few or use_plain_operations():
        return solve_transport(first, whole, cost)
    from ot.lp.emd_wrap import emd_c  # POT's checks around it take longer than small problems

    nearest, undecided = _assign_points(first, cost, guess)
    while np.count_nonzero(undecided) <= _WORTH * points:
        settled, free = np.flatnonzero(~undecided), np.flatnonzero(undecided)
        owner = nearest[settled]
        left = first - np.bincount(owner, minlength=count) / points
        if left.min() <= _ROUNDING:
            break
        share = np.full(len(free), left.sum() / len(free))
        part, _, potential, _, status = emd_c(left, share, cost.take(free, 1), PIVOTS, 1)
        if status != _OPTIMAL:
            break
        reduced = cost - potential[:, None]
        other = reduced.min(0)
        wrong = reduced[owner, settled] > other[settled] + _ROUNDING * cost[owner, settled]
        if not wrong.any():
            plan = np.zeros_like(cost)
            plan[owner, settled] = 1 / points
            plan[:, free] = part
            return Transport(float(np.vdot(plan, cost)), plan, potential, other)
        undecided[settled[wrong]] = True
    return solve_transport(first, whole, cost)


def _assign_points(
    first: Float[np.ndarray, " m"], cost: Float[np.ndarray, "m n"], guess: Float[np.ndarray, " m"]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best atom of each point under the guess, and which points may go to another.

    Each atom keeps open the points with the smallest lead over the second-best atom: as many as it
    has too many of, and some more.
    """
    count, points = cost.shape
    every = np.arange(points)
    reduced = cost - guess[:, None]
    nearest = reduced.argmin(0)
    lowest = reduced[nearest, every]
    reduced[nearest, every] = np.inf
    lead = reduced.min(0) - lowest
    held = np.bincount(nearest, minlength=count)
    surplus = np.maximum(held - first * points, 0)
    given = np.ceil(surplus + surplus.sum() / count + _SLACK)
    order = np.argsort(nearest + lead / (1 + lead.max()))  # by atom, then by lead
    rank = np.empty(points, dtype=np.intp)
    rank[order] = every - np.repeat(held.cumsum() - held, held)
    return nearest, rank < given[nearest]
