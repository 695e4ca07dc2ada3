"""Distances between real and distilled features, against SciPy and cases known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo, FeatureSample
from ddbench.pipeline.scoring import LentTrial
from ddbench_plugins.evaluators import accuracy, discrepancy
from ddbench_plugins.evaluators.accuracy import Accuracy
from ddbench_plugins.evaluators.discrepancy import Discrepancy


def trial_of(logits, labels, features=None):
    classes = tuple(f"class {cls}" for cls in range(logits.shape[1]))
    counts = (1,) * len(classes)
    info = DatasetInfo("toy", classes, (1, 2, 2), (0.0,), (1.0,), counts, counts, "")
    return LentTrial(logits, labels, info, 0, {"features": features} if features else {})


def sample_of(real, real_labels, made, made_labels, weights):
    return FeatureSample(
        torch.as_tensor(real, dtype=torch.float32),
        torch.as_tensor(real_labels),
        torch.as_tensor(made, dtype=torch.float32),
        torch.as_tensor(made_labels),
        torch.as_tensor(weights, dtype=torch.float32),
    )


def evaluated(sample, classes=2, **options):
    trial = trial_of(torch.zeros(1, classes), torch.zeros(1, dtype=torch.long), lambda: sample)
    return Discrepancy(**options).evaluate(trial)


def test_distilled_images_that_are_the_real_ones_are_at_distance_zero():
    rng = torch.Generator().manual_seed(0)
    real, labels = torch.randn(20, 4, generator=rng), torch.arange(20) % 2
    order = torch.randperm(20, generator=rng)
    found = evaluated(sample_of(real, labels, real[order], labels[order], torch.full((20,), 0.1)))
    assert found == pytest.approx({"w2": 0, "sliced": 0, "mmd": 0}, abs=1e-9)
    wrong = evaluated(sample_of(real, labels, real[order], 1 - labels[order], torch.ones(20)))
    assert all(value > 1e-3 for value in wrong.values())


def test_shift_of_a_class():
    """W₂² of a shift δ is |δ|², sliced |δ|²/d in the mean; the mean over classes halves both."""
    rng = torch.Generator().manual_seed(1)
    real, labels = torch.randn(30, 3, generator=rng), torch.arange(30) % 2
    made = real.clone()
    made[labels == 1] += torch.tensor([1.0, 2.0, 0.0])
    sample = sample_of(real, labels, made, labels, torch.full((30,), 1 / 15))
    found = evaluated(sample, projections=4000)
    assert found["w2"] == pytest.approx(5 / 2, rel=1e-5)
    assert found["sliced"] == pytest.approx(5 / 3 / 2, rel=0.05)
    assert found["mmd"] > 0.01


def test_exact_distance_agrees_with_an_assignment():
    rng = np.random.default_rng(2)
    real, made = rng.normal(size=(8, 3)), rng.normal(size=(8, 3)) + 1
    labels = np.zeros(8, dtype=int)
    found = evaluated(sample_of(real, labels, made, labels, np.ones(8) / 8), classes=1)
    cost = ((made[:, None] - real) ** 2).sum(2)
    rows, columns = linear_sum_assignment(cost)
    assert found["w2"] == pytest.approx(cost[rows, columns].mean(), rel=1e-5)


def test_one_distilled_image_by_hand():
    """W₂² to a single point is the mean squared distance; the two clouds' MMD² from the kernels."""
    real, made = np.array([[0.0], [2.0]]), np.array([[1.0]])
    found = evaluated(sample_of(real, [0, 0], made, [0], [1.0]), classes=1)
    bandwidth = 4.0  # the only distance between different real points

    def kernel(square):
        return sum(np.exp(-square / (bandwidth * 2.0 ** (i - 2))) for i in range(5))

    within = (2 * kernel(0) + 2 * kernel(4)) / 4
    expected = {"w2": 1.0, "sliced": 1.0, "mmd": within + kernel(0) - 2 * kernel(1)}
    assert found == pytest.approx(expected, rel=1e-6)


def test_weights_count_within_the_class_and_are_renormalised():
    real, made = [[0.0], [0.0], [10.0]], [[0.0], [1.0], [10.0]]

    def value(weights):
        sample = sample_of(real, [0, 0, 1], made, [0, 0, 1], weights)
        return evaluated(sample)

    assert value([1.0, 0.0, 1.0])["w2"] == pytest.approx(0)
    assert value([0.75, 0.25, 1.0])["w2"] == pytest.approx(0.25 / 2)
    for name, found in value([3.0, 1.0, 0.2]).items():
        assert found == pytest.approx(value([0.75, 0.25, 1.0])[name])


def test_better_images_score_lower_in_every_metric():
    rng = torch.Generator().manual_seed(4)
    real, labels = torch.randn(60, 5, generator=rng), torch.zeros(60, dtype=torch.long)
    near = real[:10] * 0.9
    scores = [
        evaluated(sample_of(real, labels, made, labels[:10], torch.full((10,), 0.1)), classes=1)
        for made in (near, near + 0.5, near + 2)
    ]
    for name in ("w2", "sliced", "mmd"):
        assert scores[0][name] < scores[1][name] < scores[2][name]
    assert not any(metric.higher_is_better for metric in Discrepancy.metrics)


def test_same_seed_same_numbers_and_subsampling():
    rng = torch.Generator().manual_seed(5)
    real, labels = torch.randn(50, 3, generator=rng), torch.arange(50) % 2
    sample = sample_of(real, labels, real[:6], labels[:6], torch.full((6,), 1 / 3))
    assert evaluated(sample, max_real=10) == evaluated(sample, max_real=10)
    assert evaluated(sample, max_real=10)["w2"] != evaluated(sample)["w2"]
    assert evaluated(sample, max_real=25) == evaluated(sample)
    assert evaluated(sample, seed=1)["sliced"] != evaluated(sample)["sliced"]
    assert evaluated(sample, seed=1)["w2"] == evaluated(sample)["w2"]


def test_single_real_image_has_no_bandwidth_of_its_own():
    found = evaluated(sample_of([[0.0, 1.0]], [0], [[0.0, 0.0]], [0], [1.0]), classes=1)
    assert found["w2"] == pytest.approx(1)
    assert all(np.isfinite(value) for value in found.values())


def test_missing_features_and_empty_classes_are_refused():
    with pytest.raises(DDBenchError, match="asks a trial for more than it needs"):
        Discrepancy().evaluate(trial_of(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long)))
    with pytest.raises(DDBenchError, match="class 1, 'class 1', has 1 real and 0 distilled"):
        evaluated(sample_of([[0.0], [1.0]], [0, 1], [[0.0]], [0], [1.0]))


def test_hooks_name_the_parts_and_their_metrics():
    parts = {**accuracy.ddbench_evaluators(), **discrepancy.ddbench_evaluators()}
    assert parts == {"accuracy": Accuracy(), "discrepancy": Discrepancy()}
    metrics = [(m.name, m.unit, m.higher_is_better) for p in parts.values() for m in p.metrics]
    assert metrics == [
        ("top1", "%", True),
        ("top5", "%", True),
        ("w2", "", False),
        ("sliced", "", False),
        ("mmd", "", False),
    ]
    assert parts["discrepancy"].needs == {"features"}
