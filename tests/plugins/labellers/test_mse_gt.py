"""Squared errors and a share of the hard label, against torch and finite differences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.runtime.seeds import make_generator
from ddbench.testing import tiny_batch
from ddbench_plugins.labellers.mse_gt import MseGt


def logits(seed: int) -> Tensor:
    return torch.randn(6, 3, generator=make_generator(seed), dtype=torch.float64)


def test_without_hard_labels_it_is_torchs_squared_error() -> None:
    batch = replace(tiny_batch(), weights=torch.ones(6))
    found = MseGt(hard_weight=0.0).loss(logits(0), batch, logits(1))
    torch.testing.assert_close(found, F.mse_loss(logits(0), logits(1)))


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_hard_label_is_that_of_the_image_itself_however_it_is_mixed(share: float) -> None:
    batch = replace(tiny_batch(share=share), weights=torch.ones(6))
    found = MseGt(hard_weight=0.15).loss(logits(0), batch, logits(0))
    torch.testing.assert_close(found, 0.15 * F.cross_entropy(logits(0), batch.labels))


def test_weights_count_images() -> None:
    batch = replace(tiny_batch(), weights=torch.tensor([6.0, 0, 0, 0, 0, 0]))
    one = F.mse_loss(logits(0)[:1], logits(1)[:1])
    one = one + 0.1 * F.cross_entropy(logits(0)[:1], batch.labels[:1])
    torch.testing.assert_close(MseGt().loss(logits(0), batch, logits(1)), one)


def test_the_gradient_of_the_students_loss_agrees_with_finite_differences() -> None:
    student = logits(0).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda s: MseGt().loss(s, tiny_batch(), logits(1)), [student])
