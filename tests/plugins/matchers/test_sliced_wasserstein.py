"""The sliced barycenter: means of quantiles, steps that descend, dimensions that are not seen."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from ddbench_plugins.distances.sliced import draw_directions, sliced_wasserstein_squared
from ddbench_plugins.matchers.sliced_wasserstein import (
    SlicedBarycenterTarget,
    average_quantiles,
    find_sliced_barycenter,
)
from tests.doubles.clouds import cloud, rng


@pytest.mark.parametrize(("n", "m"), [(12, 3), (13, 5), (4, 4), (7, 6)])
def test_quantile_means_by_repetition(n: int, m: int) -> None:
    values = torch.randn(3, n, generator=rng(), dtype=torch.float64)
    expected = values.sort(1).values.repeat_interleave(m, dim=1).reshape(3, m, n).mean(2)
    torch.testing.assert_close(average_quantiles(values, m), expected)


@pytest.mark.parametrize(("step", "projections"), [(1.0, 40), (0.3, 40), (1.0, 3)])
def test_sliced_steps_descend_to_a_stationary_point(step: float, projections: int) -> None:
    features, directions = cloud(), draw_directions(4, projections, rng())
    start = features[:6]

    def distance(points: Tensor) -> Tensor:
        return sliced_wasserstein_squared(points, features, directions)

    values = [
        distance(find_sliced_barycenter(features, start, directions, steps, step)).item()
        for steps in range(10)
    ]
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(values))
    assert values[-1] < 0.5 * values[0]
    end = find_sliced_barycenter(features, start, directions, 300, step).requires_grad_()
    (slope,) = torch.autograd.grad(distance(end), end)
    assert slope.norm() < 1e-6


def test_too_few_directions_leave_the_other_dimensions_alone() -> None:
    features, directions = cloud(), draw_directions(4, 2, rng())
    points = find_sliced_barycenter(features, features[:6], directions, 20, 1.0)
    unseen = torch.linalg.svd(directions).U[:, 2:]
    torch.testing.assert_close(points @ unseen, features[:6] @ unseen, rtol=1e-5, atol=1e-5)
    assert (points - features[:6]).abs().max() > 0.1


def test_sliced_report() -> None:
    report = SlicedBarycenterTarget().atoms(cloud(), 6, rng()).report
    assert 0 < report["sliced_objective"] < report["objective"]
