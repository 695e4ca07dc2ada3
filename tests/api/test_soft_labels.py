"""Students are trained on soft labels by the mixed, weighted cross-entropy."""

from __future__ import annotations

import pytest
import torch

from ddbench.api.soft_labels import soft_cross_entropy, to_probabilities
from ddbench.testing import tiny_batch


@pytest.mark.parametrize("as_logits", [True, False])
@pytest.mark.parametrize("share", [0.7, 1.0])
def test_the_loss_is_the_sum_over_classes(as_logits: bool, share: float) -> None:
    rng = torch.Generator().manual_seed(0)
    batch = tiny_batch(share=share)
    logits = 3 * torch.randn(6, 3, generator=rng, dtype=torch.float64)
    student = torch.randn(6, 3, generator=rng, dtype=torch.float64)
    p = logits.softmax(1)
    target = share * p[batch.indices] + (1 - share) * p[batch.partner_indices]
    expected = -(batch.weights * (target * student.log_softmax(1)).sum(1)).mean()
    loss = soft_cross_entropy(student, batch, logits if as_logits else p)
    torch.testing.assert_close(loss, expected)


def test_rows_are_probabilities_only_if_all_of_them_are() -> None:
    rows = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    assert to_probabilities(rows) is rows
    for other in ([[0.25, 0.75], [1.0, 1.0]], [[0.25, 0.75], [2.0, -1.0]]):
        torch.testing.assert_close(
            to_probabilities(torch.tensor(other)), torch.tensor(other).softmax(1)
        )
