"""Mixed training batches and random logits, in float64, for the tests of labellers."""

from __future__ import annotations

import torch

from ddbench.api.types import Batch


def batch_of(count, classes=5, share=0.7, seed=0):
    """A batch of a distilled set of ten images, without the pixels, which no labeller reads."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (10,), generator=rng)
    indices = torch.randperm(10, generator=rng)[:count]
    partners = indices[torch.randperm(count, generator=rng)]
    return Batch(
        images=torch.zeros(count, 1, 1, 1),
        labels=labels[indices],
        weights=torch.ones(count),
        indices=indices,
        partner_labels=labels[partners],
        partner_indices=partners,
        share=share,
    )


def logits_of(count, classes=5, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, generator=rng, dtype=torch.float64) * 3
