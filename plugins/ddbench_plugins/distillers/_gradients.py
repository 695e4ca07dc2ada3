"""Distances between the gradients that two batches give to the weights of one network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float

Distance: TypeAlias = Literal["rows", "cosine", "squares"]
_EPS = 1e-6

Gradients: TypeAlias = 'Sequence[Float[torch.Tensor, "..."]]'


def compare_gradients(real: Gradients, made: Gradients, how: Distance) -> Float[torch.Tensor, ""]:
    """Returns the distance of two lists of gradients, one entry a weight.

    "rows": Σ_l Σ_o 1 − ⟨A_lo, B_lo⟩ / (‖A_lo‖ ‖B_lo‖ + 10⁻⁶), the row o of layer l being what one
    output (a channel, a unit) gets; biases and norms, which have no rows, are left out. "cosine":
    one cosine over everything. "squares": the sum of all squared differences.

    Args:
        real: Gradients of the real batch, detached.
        made: Those of the synthetic batch, in the same order.
        how: The distance.

    References:
        Zhao et al., Dataset Condensation with Gradient Matching, ICLR 2021, Eq. 10.
    """
    if how == "rows":
        pairs = [(a, b) for a, b in zip(real, made, strict=True) if a.dim() > 1]
        return torch.stack([_measure_turn(a.flatten(1), b.flatten(1)) for a, b in pairs]).sum()
    one = torch.cat([gradient.flatten() for gradient in real])
    other = torch.cat([gradient.flatten() for gradient in made])
    if how == "cosine":
        return _measure_turn(one[None], other[None])
    return (one - other).square().sum()


def _measure_turn(
    one: Float[torch.Tensor, "o d"], other: Float[torch.Tensor, "o d"]
) -> Float[torch.Tensor, ""]:
    """Returns Σ_o of one minus the cosine; a norm's slope at 0 is 0: dead units do no harm."""
    norms = torch.linalg.vector_norm(one, dim=1) * torch.linalg.vector_norm(other, dim=1)
    return (1 - (one * other).sum(1) / (norms + _EPS)).sum()
