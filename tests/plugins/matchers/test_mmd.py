"""The MMD matcher: a sum over classes of distances by scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel

from ddbench.api.errors import DDBenchError
from ddbench_plugins.matchers.mmd import MaximumMeanDiscrepancy
from tests.doubles.matcher_steps import (
    LABELS,
    WEIGHTS,
    by_hand_means,
    real_features,
    step_of,
    tensors,
    tiny_features,
)


def test_linear_mmd_is_the_gap_of_the_means() -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    part = MaximumMeanDiscrepancy(kernel="linear")
    torch.testing.assert_close(part.loss(step_of(part, images)), by_hand_means(images, WEIGHTS))


def test_rbf_mmd_is_a_sum_over_classes_of_scikit_learns_kernel() -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    features = tiny_features(images).detach().numpy()
    (known,) = real_features(MaximumMeanDiscrepancy().statistics).values()
    total = 0.0
    for cls in range(3):
        x = features[LABELS.numpy() == cls]
        a = WEIGHTS.numpy()[LABELS.numpy() == cls]
        a = a / a.sum()
        y = known["features"][known["labels"] == cls].numpy()
        stacked = np.concatenate([x, y])
        every = ((stacked[:, None] - stacked) ** 2).sum(2)
        h = every.sum() / (len(stacked) ** 2 - len(stacked))
        for i in range(5):
            gamma = 1 / (h * 2.0 ** (i - 2))
            total += a @ rbf_kernel(x, gamma=gamma) @ a + rbf_kernel(y, gamma=gamma).mean()
            total -= 2 * a @ rbf_kernel(x, y, gamma=gamma).mean(1)
    assert MaximumMeanDiscrepancy().loss(
        step_of(MaximumMeanDiscrepancy(), images)
    ).item() == pytest.approx(total, rel=1e-10)


def test_unbiased_mmd_needs_two_images_of_a_class() -> None:
    part = MaximumMeanDiscrepancy(biased=False)
    with pytest.raises(DDBenchError, match="single point"):
        part.loss(step_of(part, tensors(3, 2, 3, 3)))
