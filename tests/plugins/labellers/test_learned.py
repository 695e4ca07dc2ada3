"""Students of learned labels: the loss of stored ones, and a sentence where there are none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.api.soft_labels import soft_cross_entropy
from ddbench.testing import tiny_batch
from ddbench_plugins.labellers.learned import Learned


def test_the_loss_is_that_of_the_labels_of_the_images_shown() -> None:
    batch, student = tiny_batch(), torch.randn(6, 3)
    logits = torch.randn(6, 3)
    loss = Learned().loss(student, replace(batch, learned=logits), None)
    assert torch.equal(loss, soft_cross_entropy(student, batch, logits))
    other = Learned().loss(student, replace(batch, learned=logits.roll(1, 0)), None)
    assert loss != other


def test_without_learned_labels_it_says_so() -> None:
    with pytest.raises(DDBenchError, match="the images came without learned labels"):
        Learned().loss(torch.randn(6, 3), tiny_batch(), None)
