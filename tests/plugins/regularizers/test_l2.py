"""The L2 penalty by hand, and no penalty at all."""

from __future__ import annotations

import pytest
import torch

from ddbench_plugins.regularizers.l2 import L2
from ddbench_plugins.regularizers.none import NoRegularizer
from tests.doubles.regularizer_steps import one_norm, step_of_maps


def test_l2_and_none_by_hand():
    images = torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    step = step_of_maps(images, one_norm(1))
    assert float(L2().penalty(step)) == pytest.approx((5 + 2) / 2)
    assert float(NoRegularizer().penalty(step)) == 0
