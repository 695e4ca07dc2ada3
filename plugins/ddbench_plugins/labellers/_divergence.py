"""The weighted Kullback-Leibler divergence of soft labels."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import torch
from annotated_types import Gt
from jaxtyping import Float

from ddbench.api.tensors import widen

Temperature: TypeAlias = Annotated[float, Gt(0)]
"""Divides logits."""


def soften(logits: Float[torch.Tensor, "b k"], temperature: float) -> Float[torch.Tensor, "b k"]:
    """Returns softmax(z / T), in float32 at least."""
    return (widen(logits) / temperature).softmax(1)


def weighted_kl(
    student: Float[torch.Tensor, "b k"],
    target: Float[torch.Tensor, "b k"],
    weights: Float[torch.Tensor, " b"],
    temperature: float,
) -> Float[torch.Tensor, ""]:
    """Returns 1/b Σ_i w_i KL( p_i ‖ softmax(s_i / T) ), in float32 at least.

    With w = 1 it is `torch.nn.KLDivLoss(reduction="batchmean")`.

    Args:
        student: Logits s.
        target: Probabilities p; rows sum to 1.
        weights: w, mean 1 over the batch.
        temperature: T. There is no factor T².
    """
    log_shares = (widen(student) / temperature).log_softmax(1)
    each = torch.nn.functional.kl_div(log_shares, widen(target), reduction="none").sum(1)  # b
    return (weights.to(each) * each).mean()
