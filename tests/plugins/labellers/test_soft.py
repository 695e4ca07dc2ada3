"""Soft labels: the stored answers of both images, mixed."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.labellers.soft import Soft
from tests.doubles.label_batches import batch_of, logits_of


def test_soft_mixes_the_stored_labels_of_both_images():
    student, bank = logits_of(4), logits_of(10, seed=3)
    batch = replace(batch_of(4), weights=torch.tensor([1.6, 0.4, 1.5, 0.5]))
    expected = 0.0
    for row in range(4):
        own = F.softmax(bank[batch.indices[row]] / 20, 0)
        partner = F.softmax(bank[batch.partner_indices[row]] / 20, 0)
        target = 0.7 * own + 0.3 * partner
        divergence = (target * (target.log() - F.log_softmax(student[row] / 20, 0))).sum()
        expected = expected + batch.weights[row] * divergence / 4
    torch.testing.assert_close(Soft().loss(student, batch, bank), expected)


def test_soft_without_mixing_is_fkd_on_plain_images():
    student, bank, batch = logits_of(4), logits_of(10, seed=3), batch_of(4, share=1.0)
    torch.testing.assert_close(
        Soft(temperature=4.0).loss(student, batch, bank),
        FKD(temperature=4.0).loss(student, batch, bank[batch.indices]),
    )
