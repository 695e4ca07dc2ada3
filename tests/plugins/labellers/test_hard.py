"""Hard labels: cross-entropy against mixed, smoothed and weighted labels."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from ddbench_plugins.labellers.hard import Hard
from tests.doubles.label_batches import batch_of, logits_of


def test_hard_is_cross_entropy_against_mixed_labels():
    student, batch = logits_of(4), batch_of(4)
    own, partner = F.one_hot(batch.labels, 5), F.one_hot(batch.partner_labels, 5)
    target = 0.7 * own.double() + 0.3 * partner.double()
    torch.testing.assert_close(Hard().loss(student, batch, None), F.cross_entropy(student, target))


def test_hard_without_mixing_is_cross_entropy():
    student, batch = logits_of(4), batch_of(4, share=1.0)
    expected = F.cross_entropy(student, batch.labels)
    torch.testing.assert_close(Hard().loss(student, batch, None), expected)


def test_hard_weighs_images_by_their_own_weight():
    student, weights = logits_of(4), torch.tensor([2.0, 0.0, 1.5, 0.5])
    batch = replace(batch_of(4), weights=weights)
    own = F.cross_entropy(student, batch.labels, reduction="none")
    partner = F.cross_entropy(student, batch.partner_labels, reduction="none")
    expected = (weights * (0.7 * own + 0.3 * partner)).sum() / 4
    torch.testing.assert_close(Hard().loss(student, batch, None), expected)


def test_hard_smooths_labels():
    student, batch = logits_of(4), batch_of(4, share=1.0)
    smooth = 0.9 * F.one_hot(batch.labels, 5).double() + 0.1 / 5
    found = Hard(label_smoothing=0.1).loss(student, batch, None)
    torch.testing.assert_close(found, F.cross_entropy(student, smooth))
