"""Maximum mean discrepancy between weighted point clouds, with several kernels.

Points are rows. Weights may be left out (uniform) and are normalised to sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float

from ddbench.api.errors import DDBenchError
from ddbench_plugins.distances.transport import normalise_weights, squared_distances


def linear_mmd_squared(
    x: Float[torch.Tensor, "m d"],
    y: Float[torch.Tensor, "n d"],
    a: Float[torch.Tensor, " m"] | None = None,
    b: Float[torch.Tensor, " n"] | None = None,
    *,
    biased: bool = True,
) -> Float[torch.Tensor, ""]:
    """Returns MMD² with the kernel ⟨x, y⟩: the squared gap between the means.

    biased: ‖Σ a_i x_i − Σ b_j y_j‖². Otherwise less the variances that the two means have
    themselves; with equal weights, that leaves out the pairs of a point with itself.

    Raises:
        DDBenchError: not `biased`, and a cloud has a single point.
    """
    a, b = normalise_weights(x, a), normalise_weights(y, b)
    mean_x, mean_y = a @ x, b @ y
    gap = (mean_x - mean_y).square().sum()
    if biased:
        return gap

    def variance(points: torch.Tensor, shares: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        spread = shares @ (points - mean).square().sum(1)
        return spread * (shares @ shares) / _pair_share(shares)

    return gap - variance(x, a, mean_x) - variance(y, b, mean_y)


def adaptive_bandwidth(
    x: Float[torch.Tensor, "m d"], y: Float[torch.Tensor, "n d"]
) -> Float[torch.Tensor, ""]:
    """Returns the mean squared distance between different points of both clouds; no gradient.

    h = 1/(N² − N) Σ_{i≠j} ‖u_i − u_j‖² over u = [x; y], which is twice the unbiased total variance.
    """
    stacked = torch.cat([x, y]).detach()
    return 2 * stacked.var(0, correction=1).sum().clamp_min(torch.finfo(stacked.dtype).eps)


def rbf_mmd_squared(
    x: Float[torch.Tensor, "m d"],
    y: Float[torch.Tensor, "n d"],
    a: Float[torch.Tensor, " m"] | None = None,
    b: Float[torch.Tensor, " n"] | None = None,
    *,
    biased: bool = True,
    bandwidth: Float[torch.Tensor, ""] | None = None,
) -> Float[torch.Tensor, ""]:
    """Returns MMD² with a sum of five Gaussian kernels.

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
    return _mmd_squared(lambda u, v: _sum_gaussians(u, v, h), x, y, a, b, biased)


def polynomial_mmd_squared(
    x: Float[torch.Tensor, "m d"],
    y: Float[torch.Tensor, "n d"],
    a: Float[torch.Tensor, " m"] | None = None,
    b: Float[torch.Tensor, " n"] | None = None,
    *,
    biased: bool = True,
) -> Float[torch.Tensor, ""]:
    """Returns MMD² with the kernel (⟨u, v⟩ + 1)²: gaps of the means and of second moments.

    biased: 2 ‖Σ a_i x_i − Σ b_j y_j‖² + ‖Σ a_i x_i x_iᵀ − Σ b_j y_j y_jᵀ‖²_F

    Raises:
        DDBenchError: not `biased`, and a cloud has a single point.

    References:
        Zhang et al., M3D, AAAI 2024; degree and constant as in public re-implementations.
    """
    return _mmd_squared(lambda u, v: (u @ v.T + 1).square(), x, y, a, b, biased)


def _mmd_squared(
    kernel: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: Float[torch.Tensor, "m d"],
    y: Float[torch.Tensor, "n d"],
    a: Float[torch.Tensor, " m"] | None,
    b: Float[torch.Tensor, " n"] | None,
    biased: bool,
) -> Float[torch.Tensor, ""]:
    """Returns aᵀ K_xx a + bᵀ K_yy b − 2 aᵀ K_xy b, or without pairs of a point with itself."""
    a, b = normalise_weights(x, a), normalise_weights(y, b)

    def within(points: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        every = kernel(points, points)
        if biased:
            return shares @ every @ shares
        itself = shares.square() @ every.diagonal()
        return (shares @ every @ shares - itself) / _pair_share(shares)

    return within(x, a) + within(y, b) - 2 * a @ kernel(x, y) @ b


def _sum_gaussians(
    x: Float[torch.Tensor, "m d"], y: Float[torch.Tensor, "n d"], h: Float[torch.Tensor, ""]
) -> Float[torch.Tensor, "m n"]:
    widest = torch.exp(squared_distances(x, y) / (-4 * h))
    total = power = widest
    for _ in range(4):  # exp(−D/2h) = exp(−D/4h)², and so on: one exponential, four squares
        power = power.square()
        total = total + power
    return total


def _pair_share(shares: Float[torch.Tensor, " n"]) -> Float[torch.Tensor, ""]:
    """Returns the weight of all pairs of different points.

    Raises:
        DDBenchError: there is a single point.
    """
    if len(shares) < 2:
        raise DDBenchError(
            "the unbiased MMD of a single point is not defined",
            hint="take at least two images of a class, or biased=true",
        )
    return 1 - shares @ shares
