"""Coverage and density against brute force, scikit-learn and cases known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo, FeatureSample
from ddbench.pipeline.scoring import LentTrial
from ddbench.testing import tiny_trial
from ddbench_plugins.evaluators.coverage import Coverage, coverage_and_density


def trial_of(logits, labels, **extras):
    classes = tuple(f"class {cls}" for cls in range(logits.shape[1]))
    counts = (1,) * len(classes)
    info = DatasetInfo("toy", classes, (1, 2, 2), (0.0,), (1.0,), counts, counts, "")
    return LentTrial(logits, labels, info, 0, extras)


def by_loops(made, real, k):
    """Eq. 3 and 4 of the paper, one pair of points after the other."""
    covered = lain_in = 0
    for i, centre in enumerate(real):
        others = sorted(math.dist(centre, other) for j, other in enumerate(real) if j != i)
        inside = others[k - 1] * (1 - 1e-4)  # less its surface
        hits = sum(math.dist(centre, point) < inside for point in made)
        covered += hits > 0
        lain_in += hits
    return covered / len(real), lain_in / (k * len(made))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 9), st.integers(1, 3))
@example(158, 2, 9, 3)  # a point in the surface of a ball
def test_coverage_and_density_are_those_of_brute_force(seed, k, images, dimensions):
    rng = np.random.default_rng(seed)
    real, made = rng.normal(size=(12, dimensions)), 1.3 * rng.normal(size=(images, dimensions))
    found = coverage_and_density(torch.tensor(made), torch.tensor(real), k)
    assert found == pytest.approx(by_loops(made.tolist(), real.tolist(), k), abs=1e-12)


def test_balls_are_those_of_scikit_learn():
    rng = np.random.default_rng(3)
    real, made = rng.normal(size=(200, 8)), rng.normal(size=(40, 8))
    distances, _ = NearestNeighbors(n_neighbors=6).fit(real).kneighbors(real)  # itself first
    inside = np.linalg.norm(real[:, None] - made, axis=2) < distances[:, -1:]
    found = coverage_and_density(torch.tensor(made), torch.tensor(real), 5)
    assert found == pytest.approx((inside.any(1).mean(), inside.sum() / (5 * 40)))


def test_coverage_by_hand():
    """Real at 0, 1, 3: balls of radius 1, 1, 2. An image at 0.5 is in two of them, at 9 in none."""
    real = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    assert coverage_and_density(real.new_tensor([[0.5]]), real, 1) == pytest.approx((2 / 3, 2.0))
    assert coverage_and_density(real.new_tensor([[9.0]]), real, 1) == (0, 0)
    two = real.new_tensor([[0.5], [9.0]])
    assert coverage_and_density(two, real, 1) == pytest.approx((2 / 3, 1.0))


def test_a_neighbour_on_the_surface_is_outside_whatever_the_rounding():
    real = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    for shift in (-1e-6, 0.0, 1e-6):
        # The image is the real one at 1: in its own ball and, at distance 1 and 2, on two surfaces.
        assert coverage_and_density(real[1:2] + shift, real, 1) == pytest.approx((1 / 3, 1.0))


def sample(real, made):
    classes = torch.arange(2).repeat_interleave(len(real[0]))
    of_made = torch.arange(2).repeat_interleave(len(made[0]))
    weights = torch.full((len(of_made),), 1 / len(made[0]))
    return FeatureSample(torch.cat(real), classes, torch.cat(made), of_made, weights)


def test_all_real_images_cover_everything_and_images_of_another_class_nothing():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(20, 4, generator=rng), 50 + torch.randn(20, 4, generator=rng)

    def found(made):
        trial = trial_of(torch.zeros(1, 2), torch.zeros(1).long(),
                         features=lambda: sample([a, b], made))  # fmt: skip
        return Coverage().evaluate(trial)

    assert found([a, b])["coverage"] == 1
    assert found([a, b])["density"] == pytest.approx(0.9, abs=0.15)
    assert found([b, a]) == {"coverage": 0, "density": 0}
    assert 0 < found([a[:1], b[:1]])["coverage"] < 0.6


def test_too_few_real_images_for_the_neighbours_are_one_sentence():
    trial = tiny_trial()
    with pytest.raises(DDBenchError, match="6 real and 2 distilled"):
        Coverage(neighbours=6).evaluate(trial)
    with pytest.raises(DDBenchError, match="neighbours is 0"):
        Coverage(neighbours=0).evaluate(trial)
    with pytest.raises(DDBenchError, match="asks a trial for more than it needs"):
        Coverage().evaluate(trial_of(torch.eye(2), torch.arange(2)))
