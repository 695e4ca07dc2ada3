"""Total variation by hand, whatever the batch."""

from __future__ import annotations

import pytest
import torch

from ddbench_plugins.regularizers.total_variation import TotalVariation
from tests.doubles.regularizer_steps import one_norm, some_images, step_of_maps


def test_total_variation_by_hand():
    images = torch.tensor([[[[0.0, 3.0], [4.0, 4.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    step = step_of_maps(images, one_norm(1))
    across, down = (3**2 + 0**2) ** 0.5, (4**2 + 1**2) ** 0.5
    assert float(TotalVariation(diagonals=False).penalty(step)) == pytest.approx(
        (across + down) / 2
    )
    assert float(TotalVariation().penalty(step)) == pytest.approx((across + down + 4 + 1) / 2)


def test_total_variation_does_not_depend_on_the_batch():
    images = some_images(3)
    one = step_of_maps(images, one_norm(1))
    two = step_of_maps(torch.cat([images, images]), one_norm(1))
    torch.testing.assert_close(TotalVariation().penalty(one), TotalVariation().penalty(two))
