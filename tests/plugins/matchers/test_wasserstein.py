"""The Wasserstein matcher and its barycenters, against POT, scikit-learn and by hand."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import ot
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans

from ddbench.api.features import Features
from ddbench_plugins.distances.transport import (
    Cloud,
    solve_transport,
    solve_transport_from_guess,
    squared_distances,
)
from ddbench_plugins.matchers import wasserstein
from ddbench_plugins.matchers.wasserstein import (
    BarycenterTarget,
    Wasserstein,
    find_barycenter,
    step_positions,
    step_weights,
)
from tests.doubles.clouds import by_pot, cloud, rng
from tests.doubles.matcher_steps import NETWORK, step_of, tensors


def test_the_target_chooses_the_layer() -> None:
    matcher = Wasserstein(target=BarycenterTarget(layer="conv"))
    (tap,) = matcher.taps(NETWORK)
    assert (tap.layer, tap.side) == ("conv", "output")
    assert matcher.target.statistic == Features(layer="conv")
    assert matcher.statistics == ()
    images = tensors(7, 2, 3, 3, seed=1)
    before_tanh = NETWORK.module.conv(images).mean((2, 3))
    step = step_of(matcher, images, atoms=before_tanh.detach())
    assert matcher.loss(step) < 1e-20


def test_no_step_makes_the_transport_dearer() -> None:
    features = cloud(80, 6)
    positions, weights = features[:8].clone(), np.full(8, 1 / 8)
    seen = [by_pot(positions, torch.from_numpy(weights), features)]
    for theta in (1.0, 0.3, 1.0, 0.2, 1.0, 1.0):
        cost = squared_distances(positions, features).numpy()
        weights, found = step_weights(weights, cost, 3, 0.01 / 8)
        seen.append(by_pot(positions, torch.from_numpy(weights), features))
        assert found.value == pytest.approx(seen[-1], rel=1e-9)
        positions = step_positions(positions, weights, found.plan, features, theta)
        seen.append(by_pot(positions, torch.from_numpy(weights), features))
    assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(seen))
    assert seen[-1] < 0.8 * seen[0]
    assert seen[1] < seen[0]  # weights help


def test_learned_weights_beat_equal_ones_and_approach_k_means() -> None:
    features = cloud(150, 3)
    learned = BarycenterTarget(iterations=30).atoms(features, 6, rng()).report
    uniform = BarycenterTarget(iterations=30, weights="uniform").atoms(features, 6, rng()).report
    assert learned["objective"] < uniform["objective"]
    assert learned["gap"] < 0.05 * learned["kmeans_bound"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_uniform_weights_match_pots_free_support_barycenter(seed: int) -> None:
    features = cloud(90, 5, seed)
    start = torch.randn(10, 5, generator=rng(seed), dtype=torch.float64)
    found = find_barycenter(
        Cloud.of(features), start, iterations=100, weight_steps=0, theta=1.0, smallest=0.001
    )
    pots = ot.lp.free_support_barycenter([features.numpy()], [ot.unif(90)], start.numpy())
    equal = torch.full((10,), 0.1, dtype=torch.float64)
    assert torch.equal(found.weights, equal)
    theirs = by_pot(torch.from_numpy(pots), equal, features)
    assert by_pot(found.positions, equal, features) <= 1.001 * theirs
    falling = itertools.pairwise(found.objectives)
    assert all(after <= before + 1e-12 for before, after in falling)
    assert len(found.objectives) < 100  # it stops by itself


def test_order_of_the_features_does_not_matter() -> None:
    features, start = cloud(), cloud(5, seed=1)
    options: dict[str, Any] = {"iterations": 10, "weight_steps": 3, "theta": 1.0, "smallest": 1e-3}
    found = find_barycenter(Cloud.of(features), start, **options)
    shuffled = Cloud.of(features[torch.randperm(60, generator=rng())])
    other = find_barycenter(shuffled, start, **options)
    assert other.objectives[-1] == pytest.approx(found.objectives[-1], rel=1e-9)
    torch.testing.assert_close(other.weights, found.weights)


def test_weight_steps_approach_the_shares_of_the_nearest_features() -> None:
    features = cloud(100, 4)
    cost = squared_distances(features[:5], features).numpy()
    lowest = cost.min(0).mean()
    start = np.full(5, 0.2)
    weights, found = step_weights(start, cost, 300, 1e-4)
    uniform = np.full(100, 0.01)
    assert lowest <= found.value <= lowest + 0.01 * (solve_transport(start, uniform, cost).value)
    shares = np.bincount(cost.argmin(0), minlength=5) / 100
    assert np.abs(weights - shares).max() < 0.03
    assert np.abs(start - shares).max() > 0.1
    assert solve_transport(shares, uniform, cost).value == pytest.approx(lowest)


def test_a_constant_in_the_potential_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features = cloud()
    cost = squared_distances(features[:5], features).numpy()
    weights, _ = step_weights(np.full(5, 0.2), cost, 3, 1e-3)

    shifts = iter([7.0, -3.0, 40.0, 0.5])

    def raised(first: Any, cost: Any, guess: Any) -> Any:
        found = solve_transport_from_guess(first, cost, guess)
        return dataclasses.replace(found, potential=found.potential + next(shifts))

    monkeypatch.setattr(wasserstein, "solve_transport_from_guess", raised)
    same, _ = step_weights(np.full(5, 0.2), cost, 3, 1e-3)
    assert next(shifts, None) is None  # each step asked for a transport
    np.testing.assert_allclose(same, weights, rtol=1e-6)
    assert np.abs(weights - 0.2).max() > 0.01


def test_position_step_is_a_damped_newton_step() -> None:
    features, positions = cloud(20), cloud(3, seed=1)
    weights = np.array([0.2, 0.3, 0.5])
    cost = squared_distances(positions, features).numpy()
    plan = solve_transport(weights, np.full(20, 0.05), cost).plan
    for theta in (0.25, 1.0):
        moved = step_positions(positions, weights, plan, features, theta)
        for j in range(3):
            pull = sum(plan[j, i] * (positions[j] - features[i]) for i in range(20))
            torch.testing.assert_close(moved[j], positions[j] - theta / weights[j] * pull)


def test_normal_start_is_standard_normal() -> None:
    features = cloud()
    start = torch.randn(5, 4, generator=rng(2), dtype=torch.float64)
    found = find_barycenter(
        Cloud.of(features), start, iterations=10, weight_steps=3, theta=1.0, smallest=0.01 / 5
    )
    atoms = BarycenterTarget(init="normal").atoms(features, 5, rng(2))
    assert torch.equal(atoms.points, found.positions)
    assert torch.equal(atoms.weights, found.weights)


def test_bound_is_what_k_means_reaches_from_the_atoms() -> None:
    features = cloud()
    for seed in range(6):
        atoms = BarycenterTarget().atoms(features, 8, rng(seed))
        own = SklearnKMeans(8, init=atoms.points.numpy(), n_init=1, tol=0).fit(features.numpy())
        assert atoms.report["kmeans_bound"] == pytest.approx(own.inertia_ / 60, rel=1e-9)
        assert atoms.report["gap"] > -1e-9
