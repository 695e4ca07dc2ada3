"""Matchers that go class by class: the order of images and of real features does not matter."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ddbench_plugins.matchers.mean import Mean
from ddbench_plugins.matchers.mmd import MaximumMeanDiscrepancy
from tests.doubles.matcher_steps import LABELS, WEIGHTS, step_of, tensors


@pytest.mark.parametrize(
    "part", [Mean(), MaximumMeanDiscrepancy(), MaximumMeanDiscrepancy(kernel="linear")]
)
def test_order_of_images_and_of_known_features_does_not_matter(part: Any) -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    step = step_of(part, images)
    order = torch.tensor([3, 6, 0, 5, 1, 2, 4])
    known = {
        key: {name: value.flip(0).float() for name, value in found.items()}
        for key, found in step.known.items()
    }
    other = step_of(
        part, images[order], labels=LABELS[order], weights=WEIGHTS[order] * 7, known=known
    )
    torch.testing.assert_close(part.loss(step), part.loss(other), rtol=1e-5, atol=1e-8)
