"""Spread and distance of classes against scikit-learn, NumPy, pairs one by one, and by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import calinski_harabasz_score

from ddbench.api.errors import DDBenchError
from ddbench.api.types import FeatureSample
from ddbench.testing import tiny_info, tiny_trial
from ddbench_plugins.evaluators.class_separation import ClassSeparation


def evaluated(features, labels):
    """Of distilled features alone: those of real images must not count."""
    made, labels = torch.as_tensor(features, dtype=torch.float32), torch.as_tensor(labels)
    real, rng = torch.randn(9, made.shape[1]), torch.Generator().manual_seed(0)
    weights = torch.rand(len(labels), generator=rng)
    sample = FeatureSample(real, torch.zeros(9).long(), made, labels, weights)
    classes = tuple(str(cls) for cls in range(int(labels.max()) + 1))
    trial = replace(
        tiny_trial(), lent={"features": lambda: sample}, info=replace(tiny_info(), classes=classes)
    )
    return ClassSeparation().evaluate(trial)


def test_by_hand():
    """Two points at distance 1 from their mean, ddof 1: 2; and three on a line: 1. Means 3 apart
    and 4 up."""
    found = evaluated([[-1, 0], [1, 0], [3, 3], [3, 4], [3, 5]], [0, 0, 1, 1, 1])
    assert found == pytest.approx({
        "intra_class_spread": math.sqrt((2 + 1) / 2), "inter_class_distance": 5,
    })  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 6), st.integers(1, 4))
def test_equal_classes_give_the_index_of_scikit_learn(seed, classes, images, dimensions):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(classes * images, dimensions)).astype(np.float32)
    labels = rng.permutation(np.repeat(np.arange(classes), images))
    found = evaluated(points, labels)
    ratio = found["inter_class_distance"] / found["intra_class_spread"]
    theirs = calinski_harabasz_score(points.astype(float), labels)
    assert ratio**2 * images / 2 == pytest.approx(theirs, rel=1e-6)


def test_unequal_classes_are_those_of_numpy_and_of_pairs_one_by_one():
    rng = np.random.default_rng(1)
    groups = [rng.normal(cls, 1 + cls, size=(3 + cls, 4)).astype(np.float32) for cls in range(4)]
    labels = np.repeat(np.arange(4), [len(group) for group in groups])
    order = rng.permutation(len(labels))
    found = evaluated(np.concatenate(groups)[order], labels[order])
    traces = [np.trace(np.cov(group.astype(float), rowvar=False)) for group in groups]
    assert found["intra_class_spread"] == pytest.approx(math.sqrt(np.mean(traces)))
    means = [group.astype(float).mean(0) for group in groups]
    squares = [math.dist(a, b) ** 2 for a, b in combinations(means, 2)]
    assert found["inter_class_distance"] == pytest.approx(math.sqrt(np.mean(squares)))


def test_the_spread_of_few_images_is_that_of_many_in_the_mean():
    """tr S = d for unit Gaussians, whatever the number of images: rows of random images tell."""
    rng = np.random.default_rng(2)
    for images in (2, 10):
        draws = [
            evaluated(rng.normal(size=(2 * images, 5)), [0] * images + [1] * images)
            for _ in range(2000)
        ]
        squares = [draw["intra_class_spread"] ** 2 for draw in draws]
        assert np.mean(squares) == pytest.approx(5, rel=0.05)


def test_what_there_are_too_few_images_for_is_left_out():
    assert evaluated([[0.0], [2.0]], [0, 1]) == {"inter_class_distance": 2}
    assert evaluated([[0.0], [2.0]], [0, 0]) == {"intra_class_spread": pytest.approx(math.sqrt(2))}
    assert evaluated([[0.0], [2.0], [9.0]], [0, 0, 1])["intra_class_spread"] ** 2 == pytest.approx(
        2
    )


def test_a_class_without_images_and_a_trial_without_features_are_one_sentence():
    with pytest.raises(DDBenchError, match="class '1' has no distilled image"):
        evaluated([[0.0], [2.0]], [0, 2])
    with pytest.raises(DDBenchError, match="asks a trial for more than it needs"):
        ClassSeparation().evaluate(replace(tiny_trial(), lent={}))


def test_neither_number_is_better_high_or_low():
    assert {m.name: m.higher_is_better for m in ClassSeparation.metrics} == {
        "intra_class_spread": None, "inter_class_distance": None,
    }  # fmt: skip
