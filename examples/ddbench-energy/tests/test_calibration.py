"""The calibration error: its contract, and its number by another implementation and by hand."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from ddbench.testing import check_part, tiny_trial
from ddbench_energy.evaluator import Calibration


def test_contract():
    assert check_part("evaluator", "calibration", Calibration()) == []


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_agrees_with_torchmetrics(bins):
    rng = torch.Generator().manual_seed(bins)
    logits = 3 * torch.randn(200, 4, generator=rng)
    labels = torch.randint(4, (200,), generator=rng)
    found = Calibration(bins).evaluate(tiny_trial(logits=logits, labels=labels))["ece"]
    theirs = multiclass_calibration_error(
        logits.double().softmax(1), labels, num_classes=4, n_bins=bins, norm="l1"
    )
    assert found == pytest.approx(100 * theirs.item(), rel=1e-6)


def test_by_hand():
    """Two of four guesses at 90 % are right and one of two at 60 %: 2/3 * 40 % + 1/3 * 10 %."""
    sure, torn = [0.9, 0.1], [0.6, 0.4]
    logits = torch.tensor([sure, sure, sure, sure, torn, torn]).log()
    labels = torch.tensor([0, 0, 1, 1, 0, 1])
    found = Calibration(10).evaluate(tiny_trial(logits=logits, labels=labels))["ece"]
    assert found == pytest.approx(100 * (2 / 3 * 0.4 + 1 / 3 * 0.1), rel=1e-5)


def test_a_student_that_is_sure_and_right_is_calibrated():
    logits = 100 * torch.eye(3)
    assert Calibration().evaluate(tiny_trial(logits=logits, labels=torch.arange(3)))["ece"] == 0
