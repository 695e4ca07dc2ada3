"""The cross-entropy matcher, by hand."""

from __future__ import annotations

import torch

from ddbench.api.types import Activations
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from tests.doubles.matcher_steps import LABELS, NETWORK, step_of, tensors


def test_cross_entropy_by_hand() -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    logits = NETWORK.module(images)
    each = -torch.log(torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True))[range(7), LABELS]
    part = CrossEntropy()
    torch.testing.assert_close(part.loss(step_of(part, images)), each.mean())
    part = CrossEntropy(reduction="sum")
    torch.testing.assert_close(part.loss(step_of(part, images)), each.sum())
    half = step_of(part, images, acts=Activations(logits.bfloat16(), {}))
    assert part.loss(half).dtype == torch.float32
