"""The loss of students that are trained on one soft label an image."""

from __future__ import annotations

import torch
from jaxtyping import Float

from ddbench.api.types import Batch


def soft_cross_entropy(
    student: Float[torch.Tensor, "b k"], batch: Batch, labels: Float[torch.Tensor, "n k"]
) -> Float[torch.Tensor, ""]:
    """1/b Σ_i w_i CE( λ p_i + (1 − λ) p'_i, softmax(s_i) ), p the labels as probabilities.

    λ is the part of each mixed image that is its own, p' the label of its partner. The weight w_i
    is that of the image itself, not of its partner.

    Args:
        student: Logits s.
        batch: What was shown.
        labels: One row for each image of the set, on any device: probabilities or logits.
    """
    soft = to_probabilities(labels)
    own, partner = soft[batch.indices].to(student), soft[batch.partner_indices].to(student)
    target = batch.share * own + (1 - batch.share) * partner
    each = torch.nn.functional.cross_entropy(student, target, reduction="none")  # b
    return (batch.weights.to(each) * each).mean()


def to_probabilities(labels: Float[torch.Tensor, "n k"]) -> Float[torch.Tensor, "n k"]:
    """Returns labels whose rows are probabilities as they are, and the softmax of other ones.

    DATM stores logits and DD-Ranking's soft cross-entropy takes them so; other methods store
    probabilities, and nothing in a file says which they are.
    """
    sums = labels.sum(1)
    if bool((labels >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        return labels
    return labels.softmax(1)
