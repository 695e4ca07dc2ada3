"""Exact optimal transport to equally heavy points, sped up by a good guess of the potentials.

Few atoms share many points, and most points lie so clearly nearest to one atom that a guess settles
them. Only the others go through the network simplex. The result is the exact one: the potentials
found must certify it for the settled points too, or those go back to the undecided ones.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ddbench_plugins.distances.mmd import PIVOTS, Transport, exact_transport

_SLACK = 4
"""Points an atom may give away beyond those that it has too many of, under the guess."""
_MANY = 40
"""Points an atom from which on a guess pays (measured: at 26 it does not, at 130 it does)."""
_WORTH = 0.3
"""With more than this part of the points undecided, solving for all of them is as fast."""
_OPTIMAL = 1
"""What POT's solver answers where it has found the best."""
_ROUNDING = 1e-12
"""Relative slack of the certificate, far above float64's rounding and far below any tolerance."""


def guessed_transport(
    first: Float[np.ndarray, " m"],
    cost: Float[np.ndarray, "m n"],
    guess: Float[np.ndarray, " m"] | None,
) -> Transport:
    """The optimal transport to n points of weight 1/n, as `exact_transport` finds it.

    A point i belongs to the atom that minimises C_ij − u_j, unless several do. Points whose best
    atom is best by far are given to it; the rest is a small problem with the atoms' remaining
    weights. Its potentials u are optimal for all if every settled point still has its atom as the
    best: then plan and potentials satisfy complementary slackness.

    Args:
        first: Weights of the atoms; sum to 1.
        cost: C.
        guess: u of a similar problem, up to a constant; any numbers give the same transport, slower
            if they are far off. None solves for all points at once, as do few points an atom.
    """
    count, points = cost.shape
    whole = np.full(points, 1 / points)
    if guess is None or count == 1 or points < _MANY * count:
        return exact_transport(first, whole, cost)
    from ot.lp.emd_wrap import emd_c  # POT's checks around it take longer than small problems

    nearest, undecided = _undecided(first, cost, guess)
    while np.count_nonzero(undecided) <= _WORTH * points:
        settled, opened = np.flatnonzero(~undecided), np.flatnonzero(undecided)
        owner = nearest[settled]
        left = first - np.bincount(owner, minlength=count) / points
        if left.min() <= _ROUNDING:
            break
        share = np.full(len(opened), left.sum() / len(opened))
        part, _, potential, _, status = emd_c(left, share, cost.take(opened, 1), PIVOTS, 1)
        if status != _OPTIMAL:
            break
        reduced = cost - potential[:, None]
        other = reduced.min(0)
        wrong = reduced[owner, settled] > other[settled] + _ROUNDING * cost[owner, settled]
        if not wrong.any():
            plan = np.zeros_like(cost)
            plan[owner, settled] = 1 / points
            plan[:, opened] = part
            return Transport(float(np.vdot(plan, cost)), plan, potential, other)
        undecided[settled[wrong]] = True
    return exact_transport(first, whole, cost)


def _undecided(
    first: Float[np.ndarray, " m"], cost: Float[np.ndarray, "m n"], guess: Float[np.ndarray, " m"]
) -> tuple[np.ndarray, np.ndarray]:
    """The best atom of each point under the guess, and which points may yet go to another.

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
