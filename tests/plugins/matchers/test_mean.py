"""The mean matcher, by hand."""

from __future__ import annotations

import torch

from ddbench_plugins.matchers.mean import Mean
from tests.doubles.matcher_steps import WEIGHTS, by_hand_means, step_of, tensors


def test_mean_by_hand() -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    weighted = Mean().loss(step_of(Mean(), images))
    torch.testing.assert_close(weighted, by_hand_means(images, WEIGHTS))
    plain = Mean(weighted=False).loss(step_of(Mean(), images))
    torch.testing.assert_close(plain, by_hand_means(images, torch.ones_like(WEIGHTS)))
    assert (plain - weighted).abs() > 1e-4
