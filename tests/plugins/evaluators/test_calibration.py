"""Calibration errors against brute force and cases known by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.api.types import DatasetInfo
from ddbench.pipeline.scoring import LentTrial
from ddbench_plugins.evaluators.calibration import Calibration


def trial_of(logits, labels, **extras):
    classes = tuple(f"class {cls}" for cls in range(logits.shape[1]))
    counts = (1,) * len(classes)
    info = DatasetInfo("toy", classes, (1, 2, 2), (0.0,), (1.0,), counts, counts, "")
    return LentTrial(logits, labels, info, 0, extras)


def ece_by_loops(logits, labels, bins):
    sure, guess = logits.double().softmax(1).max(1)
    gap = 0.0
    for low in range(bins):
        here = [i for i, p in enumerate(sure.tolist()) if low <= p * bins < low + 1]
        if here:
            right = sum(int(guess[i] == labels[i]) for i in here) / len(here)
            gap += len(here) / len(labels) * abs(right - sure[here].mean().item())
    return 100 * gap


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 20), st.floats(0.1, 5))
def test_calibration_is_that_of_brute_force(seed, classes, bins, scale):
    rng = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(60, classes, generator=rng)
    labels = torch.randint(0, classes, (60,), generator=rng)
    found = Calibration(bins=bins).evaluate(trial_of(logits, labels))["ece"]
    assert found == pytest.approx(ece_by_loops(logits, labels, bins), abs=1e-4)
    assert 0 <= found <= 100


def test_calibration_by_hand():
    """Sure by 0.8 and right three times of four: off by 0.05. All wrong: off by 0.8."""
    logits = torch.tensor([0.8, 0.2]).log().repeat(4, 1)
    assert Calibration().evaluate(trial_of(logits, torch.tensor([0, 0, 0, 1])))["ece"] == (
        pytest.approx(5, abs=1e-4)
    )
    assert Calibration().evaluate(trial_of(logits, torch.ones(4).long()))["ece"] == (
        pytest.approx(80, abs=1e-4)
    )


def test_a_confidence_of_one_is_in_the_last_bin():
    """Half is sure by 1 and right nine times of ten, half by 0.95 and always right: one bin."""
    logits = torch.tensor([[100.0, 0.0]] * 10 + [[math.log(0.95), math.log(0.05)]] * 10)
    labels = torch.tensor([0] * 9 + [1] + [0] * 10)
    found = Calibration().evaluate(trial_of(logits, labels))["ece"]
    assert found == pytest.approx(2.5, abs=1e-4)


def test_logits_between_0_and_1_are_logits():
    logits = torch.tensor([[1.0, 0.0]])  # a probability of 0.731, not of 1
    found = Calibration().evaluate(trial_of(logits, torch.tensor([0])))["ece"]
    assert found == pytest.approx(100 * (1 - 1 / (1 + math.exp(-1))), abs=1e-4)
