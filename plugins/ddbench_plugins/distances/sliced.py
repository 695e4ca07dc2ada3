"""Sliced optimal transport between weighted point clouds.

Points are rows. Weights may be left out (uniform) and are normalised to sum to 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float

from ddbench_plugins.distances.transport import normalise_weights


def draw_directions(dimension: int, count: int, rng: torch.Generator) -> Float[torch.Tensor, "d l"]:
    """Draws unit vectors in float64, uniform on the sphere; one direction a column."""
    directions = torch.randn(dimension, count, generator=rng, dtype=torch.float64)
    return directions / directions.norm(dim=0)


def sliced_wasserstein_squared(
    x: Float[torch.Tensor, "m d"],
    y: Float[torch.Tensor, "n d"],
    directions: Float[torch.Tensor, "d l"],
    a: Float[torch.Tensor, " m"] | None = None,
    b: Float[torch.Tensor, " n"] | None = None,
) -> Float[torch.Tensor, ""]:
    """Returns the mean over directions of the one-dimensional W₂²; float64, differentiable.

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
    values_x, ends_x = _sort_values(directions.T @ x.T, normalise_weights(x, a))
    values_y, ends_y = _sort_values(directions.T @ y.T, normalise_weights(y, b))
    levels = torch.cat([ends_x, ends_y], 1).sort(1).values  # l m+n
    widths = levels.diff(dim=1, prepend=torch.zeros_like(levels[:, :1]))
    gap = _read_quantiles(values_x, ends_x, levels) - _read_quantiles(values_y, ends_y, levels)
    return (widths * gap.square()).sum(1).mean()


def _sort_values(
    values: Float[torch.Tensor, "l n"], shares: Float[torch.Tensor, " n"]
) -> tuple[Float[torch.Tensor, "l n"], Float[torch.Tensor, "l n"]]:
    """Returns sorted values of each direction, and the level up to which each is the quantile."""
    ordered, order = values.sort(1)
    return ordered, shares[order].cumsum(1)


def _read_quantiles(
    values: Float[torch.Tensor, "l n"],
    ends: Float[torch.Tensor, "l n"],
    levels: Float[torch.Tensor, "l q"],
) -> Float[torch.Tensor, "l q"]:
    """Returns the quantiles of each direction at given levels."""
    where = torch.searchsorted(ends.detach().contiguous(), levels.detach())
    # The last end is 1 but for rounding.
    return values.gather(1, where.clamp(max=values.shape[1] - 1))
