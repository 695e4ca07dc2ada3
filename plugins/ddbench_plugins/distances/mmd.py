"""Distances between weighted point clouds, shared by matchers and evaluators.

Points are rows. Weights may be left out (uniform) and are normalised to sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from ddbench.api.errors import DDBenchError

if TYPE_CHECKING:
    from torch import Generator, Tensor

PIVOTS = 10_000_000
"""The network simplex stops by itself long before."""


def squared_distances(x: Float[Tensor, "m d"], y: Float[Tensor, "n d"]) -> Float[Tensor, "m n"]:
    """D_ij = ‖x_i − y_j‖², by one matrix product; never below 0."""
    return Cloud.of(y).squared_distances(x)


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points that many others are compared to: what does not change is worked out once."""

    given: Float[Tensor, "n d"]
    centre: Float[Tensor, " d"]
    points: Float[Tensor, "n d"]
    """Less the centre: differences stay, rounding errors shrink."""
    squares: Float[Tensor, " n"]

    @classmethod
    def of(cls, points: Float[Tensor, "n d"]) -> Cloud:
        centre = points.detach().mean(0)
        centred = points - centre
        return cls(points, centre, centred, centred.square().sum(1))

    def squared_distances(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m n"]:
        """D_ij = ‖x_i − y_j‖² to the points y."""
        x = x - self.centre
        squares = x.square().sum(1)[:, None] + self.squares
        return torch.addmm(squares, x, self.points.T, alpha=-2).clamp_min(0)


# -- Wasserstein, exact ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transport:
    """An optimal transport plan and what certifies it."""

    value: float
    """⟨plan, cost⟩."""
    plan: Float[np.ndarray, "m n"]
    """Rows sum to the first marginal, columns to the second."""
    potential: Float[np.ndarray, " m"]
    """Dual variable of the first marginal: a subgradient of the value in it, up to a constant."""
    other: Float[np.ndarray, " n"]
    """Dual variable of the second marginal."""


def exact_transport(
    first: Float[np.ndarray, " m"], second: Float[np.ndarray, " n"], cost: Float[np.ndarray, "m n"]
) -> Transport:
    """Optimal transport between two histograms, by the network simplex.

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
    x: Float[Tensor, "m d"],
    y: Float[Tensor, "n d"],
    a: Float[Tensor, " m"] | None = None,
    b: Float[Tensor, " n"] | None = None,
) -> float:
    """W₂² between two point clouds, exactly, in float64.

    W₂² = min_T Σ_ij T_ij ‖x_i − y_j‖² with T 1 = a, Tᵀ 1 = b.

    Args:
        x: Points of the first cloud.
        y: Points of the second.
        a: Weights of x.
        b: Weights of y.
    """
    x, y = x.detach().double(), y.detach().double()
    cost = squared_distances(x, y).cpu().numpy()
    first, second = _shares(x, a).detach().cpu().numpy(), _shares(y, b).detach().cpu().numpy()
    return exact_transport(first, second, cost).value


# -- Wasserstein, sliced -----------------------------------------------------------------------


def random_directions(dimension: int, count: int, rng: Generator) -> Float[Tensor, "d l"]:
    """Unit vectors in float64, uniform on the sphere; one direction a column."""
    directions = torch.randn(dimension, count, generator=rng, dtype=torch.float64)
    return directions / directions.norm(dim=0)


def sliced_wasserstein_squared(
    x: Float[Tensor, "m d"],
    y: Float[Tensor, "n d"],
    directions: Float[Tensor, "d l"],
    a: Float[Tensor, " m"] | None = None,
    b: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over directions of the one-dimensional W₂², in float64; differentiable in x and y.

    SW₂² = mean_θ ∫₀¹ (F⁻¹_{θᵀx}(s) − F⁻¹_{θᵀy}(s))² ds

    Args:
        x: Points of the first cloud.
        y: Points of the second.
        directions: Unit vectors as columns.
        a: Weights of x.
        b: Weights of y.

    Differences:
        `ot.sliced_wasserstein_distance` returns the square root.

    References:
        Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures, 2015.
    """
    directions = directions.to(x.device, torch.float64)
    x, y = x.double(), y.double()
    values_x, ends_x = _quantiles(directions.T @ x.T, _shares(x, a))
    values_y, ends_y = _quantiles(directions.T @ y.T, _shares(y, b))
    levels = torch.cat([ends_x, ends_y], 1).sort(1).values  # l m+n
    widths = levels.diff(dim=1, prepend=torch.zeros_like(levels[:, :1]))
    gap = _quantile_at(values_x, ends_x, levels) - _quantile_at(values_y, ends_y, levels)
    return (widths * gap.square()).sum(1).mean()


def _quantiles(
    values: Float[Tensor, "l n"], shares: Float[Tensor, " n"]
) -> tuple[Float[Tensor, "l n"], Float[Tensor, "l n"]]:
    """Sorted values of each direction, and up to which level each of them is the quantile."""
    ordered, order = values.sort(1)
    return ordered, shares[order].cumsum(1)


def _quantile_at(
    values: Float[Tensor, "l n"], ends: Float[Tensor, "l n"], levels: Float[Tensor, "l q"]
) -> Float[Tensor, "l q"]:
    where = torch.searchsorted(ends.detach().contiguous(), levels.detach())
    return values.gather(
        1, where.clamp(max=values.shape[1] - 1)
    )  # the last end is 1 but for rounding


# -- maximum mean discrepancy ------------------------------------------------------------------


def linear_mmd_squared(
    x: Float[Tensor, "m d"],
    y: Float[Tensor, "n d"],
    a: Float[Tensor, " m"] | None = None,
    b: Float[Tensor, " n"] | None = None,
    *,
    biased: bool = True,
) -> Float[Tensor, ""]:
    """MMD² with the kernel ⟨x, y⟩: the squared gap between the means.

    biased: ‖Σ a_i x_i − Σ b_j y_j‖². Otherwise less the variances that the two means have
    themselves; with equal weights, that leaves out the pairs of a point with itself.

    Raises:
        DDBenchError: not `biased`, and a cloud has a single point.
    """
    a, b = _shares(x, a), _shares(y, b)
    mean_x, mean_y = a @ x, b @ y
    gap = (mean_x - mean_y).square().sum()
    if biased:
        return gap

    def variance(points: Tensor, shares: Tensor, mean: Tensor) -> Tensor:
        spread = shares @ (points - mean).square().sum(1)
        return spread * (shares @ shares) / _pair_share(shares)

    return gap - variance(x, a, mean_x) - variance(y, b, mean_y)


def adaptive_bandwidth(x: Float[Tensor, "m d"], y: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean squared distance between different points of both clouds together; no gradient.

    h = 1/(N² − N) Σ_{i≠j} ‖u_i − u_j‖² over u = [x; y], which is twice the unbiased total variance.
    """
    stacked = torch.cat([x, y]).detach()
    return 2 * stacked.var(0, correction=1).sum().clamp_min(torch.finfo(stacked.dtype).eps)


def rbf_mmd_squared(
    x: Float[Tensor, "m d"],
    y: Float[Tensor, "n d"],
    a: Float[Tensor, " m"] | None = None,
    b: Float[Tensor, " n"] | None = None,
    *,
    biased: bool = True,
    bandwidth: Float[Tensor, ""] | None = None,
) -> Float[Tensor, ""]:
    """MMD² with a sum of five Gaussian kernels.

    MMD² = aᵀ K_xx a + bᵀ K_yy b − 2 aᵀ K_xy b, k(u, v) = Σ_{i=0..4} exp(−‖u − v‖² / (h 2^{i−2}))

    Args:
        x: Points of the first cloud.
        y: Points of the second.
        a: Weights of x.
        b: Weights of y.
        biased: K_xx and K_yy with their diagonals, so that the value is ≥ 0.
        bandwidth: h; `adaptive_bandwidth(x, y)` if left out.

    Raises:
        DDBenchError: not `biased`, and a cloud has a single point.

    References:
        Zhang et al., M3D: Dataset Condensation by Minimizing Maximum Mean Discrepancy, AAAI 2024;
        h and the five widths as in public re-implementations.
    """
    h = adaptive_bandwidth(x, y) if bandwidth is None else bandwidth
    return _mmd_squared(lambda u, v: _five_gaussians(u, v, h), x, y, a, b, biased)


def polynomial_mmd_squared(
    x: Float[Tensor, "m d"],
    y: Float[Tensor, "n d"],
    a: Float[Tensor, " m"] | None = None,
    b: Float[Tensor, " n"] | None = None,
    *,
    biased: bool = True,
) -> Float[Tensor, ""]:
    """MMD² with the kernel (⟨u, v⟩ + 1)²: the gaps between means and between second moments.

    biased: 2 ‖Σ a_i x_i − Σ b_j y_j‖² + ‖Σ a_i x_i x_iᵀ − Σ b_j y_j y_jᵀ‖²_F

    Raises:
        DDBenchError: not `biased`, and a cloud has a single point.

    References:
        Zhang et al., M3D, AAAI 2024; degree and constant as in public re-implementations.
    """
    return _mmd_squared(lambda u, v: (u @ v.T + 1).square(), x, y, a, b, biased)


def _mmd_squared(
    kernel: Callable[[Tensor, Tensor], Tensor],
    x: Float[Tensor, "m d"],
    y: Float[Tensor, "n d"],
    a: Float[Tensor, " m"] | None,
    b: Float[Tensor, " n"] | None,
    biased: bool,
) -> Float[Tensor, ""]:
    """aᵀ K_xx a + bᵀ K_yy b − 2 aᵀ K_xy b, or without the pairs of a point with itself."""
    a, b = _shares(x, a), _shares(y, b)

    def within(points: Tensor, shares: Tensor) -> Tensor:
        every = kernel(points, points)
        if biased:
            return shares @ every @ shares
        itself = shares.square() @ every.diagonal()
        return (shares @ every @ shares - itself) / _pair_share(shares)

    return within(x, a) + within(y, b) - 2 * a @ kernel(x, y) @ b


def _five_gaussians(
    x: Float[Tensor, "m d"], y: Float[Tensor, "n d"], h: Float[Tensor, ""]
) -> Float[Tensor, "m n"]:
    widest = torch.exp(squared_distances(x, y) / (-4 * h))
    total = power = widest
    for _ in range(4):  # exp(−D/2h) = exp(−D/4h)², and so on: one exponential, four squares
        power = power.square()
        total = total + power
    return total


def _pair_share(shares: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """The weight of all pairs of different points."""
    if len(shares) < 2:
        raise DDBenchError(
            "the unbiased MMD of a single point is not defined",
            hint="take at least two images of a class, or biased=true",
        )
    return 1 - shares @ shares


# -- shared ------------------------------------------------------------------------------------


def _shares(
    points: Float[Tensor, "n d"], weights: Float[Tensor, " n"] | None
) -> Float[Tensor, " n"]:
    if weights is None:
        return points.new_full((len(points),), 1 / len(points))
    weights = weights.to(points)
    return weights / weights.sum()
