"""What soft labels have in common: the weighted Kullback-Leibler divergence."""

from __future__ import annotations

import torch
from jaxtyping import Float

from ddbench.api.errors import DDBenchError
from ddbench.api.tensors import widen


def check_temperature(temperature: float) -> None:
    """Refuses what no logits can be divided by.

    Raises:
        DDBenchError: it is not above 0.
    """
    if not temperature > 0:
        raise DDBenchError(f"temperature is {temperature}", "expected: above 0")


def soften(logits: Float[torch.Tensor, "b k"], temperature: float) -> Float[torch.Tensor, "b k"]:
    """softmax(z / T), in float32 at least."""
    return (widen(logits) / temperature).softmax(1)


def weighted_kl(
    student: Float[torch.Tensor, "b k"],
    target: Float[torch.Tensor, "b k"],
    weights: Float[torch.Tensor, " b"],
    temperature: float,
) -> Float[torch.Tensor, ""]:
    """1/b Σ_i w_i KL( p_i ‖ softmax(s_i / T) ), in float32 at least.

    With w = 1 it is `torch.nn.KLDivLoss(reduction="batchmean")`.

    Args:
        student: Logits s.
        target: Probabilities p; rows sum to 1.
        weights: w, mean 1 over the batch.
        temperature: T. There is no factor T².
    """
    found = (widen(student) / temperature).log_softmax(1)
    each = torch.nn.functional.kl_div(found, widen(target), reduction="none").sum(1)  # b
    return (weights.to(each) * each).mean()
