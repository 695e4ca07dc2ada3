"""Targets against POT, scikit-learn and what can be computed by hand."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans as SklearnKMeans
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features
from ddbench.api.roles import Target
from ddbench_plugins.distances.sliced import draw_directions, sliced_wasserstein_squared
from ddbench_plugins.distances.transport import (
    Cloud,
    solve_transport,
    solve_transport_from_guess,
    squared_distances,
    wasserstein_squared,
)
from ddbench_plugins.matchers import wasserstein
from ddbench_plugins.matchers._atoms import project_to_simplex
from ddbench_plugins.matchers.kmeans import KMeansTarget
from ddbench_plugins.matchers.sliced_wasserstein import (
    SlicedBarycenterTarget,
    average_quantiles,
    find_sliced_barycenter,
)
from ddbench_plugins.matchers.wasserstein import (
    BarycenterTarget,
    find_barycenter,
    step_positions,
    step_weights,
)

BARYCENTERS = [
    BarycenterTarget(),
    BarycenterTarget(weights="uniform"),
    BarycenterTarget(init="normal"),
    BarycenterTarget(weights="uniform", init="normal", iterations=100),
]
TARGETS = [*BARYCENTERS, KMeansTarget(), SlicedBarycenterTarget()]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(n: int = 60, d: int = 4, seed: int = 0) -> Tensor:
    """Features like those after a ReLU and pooling, in unequal clumps."""
    drawn = torch.randn(n, d, generator=rng(seed), dtype=torch.float64)
    clump = (torch.arange(n) % 7 // 3).double()[:, None]
    return (drawn + 2 * clump).relu() + 0.1 * drawn.abs()


def by_pot(points: Tensor, weights: Tensor, features: Tensor) -> float:
    cost = ot.dist(points.double().numpy(), features.double().numpy())
    share = weights.double().numpy()
    return float(ot.emd2(share / share.sum(), ot.unif(len(features)), cost))


# -- all of them -------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_report_belongs_to_the_atoms(target: Any) -> None:
    features = cloud()
    atoms = target.atoms(features, 6, rng())
    objective, bound = atoms.report["objective"], atoms.report["kmeans_bound"]
    assert objective == pytest.approx(by_pot(atoms.points, atoms.weights, features), rel=1e-9)
    assert bound <= objective + 1e-9
    assert atoms.report["gap"] == objective - bound
    own = SklearnKMeans(6, init=atoms.points.numpy(), n_init=1, tol=0).fit(features.numpy())
    assert bound <= own.inertia_ / 60 + 1e-9
    assert atoms.weights.sum().item() == pytest.approx(1, abs=1e-12)
    assert (atoms.weights > 0).all()


@pytest.mark.parametrize("target", TARGETS)
def test_one_atom_is_the_mean(target: Any) -> None:
    features = cloud()
    atoms = target.atoms(features, 1, rng())
    torch.testing.assert_close(atoms.points[0], features.mean(0), atol=1e-6, rtol=1e-6)
    trace = features.var(0, correction=0).sum().item()
    assert atoms.report["objective"] == pytest.approx(trace, rel=1e-6)


@pytest.mark.parametrize("target", [t for t in TARGETS if getattr(t, "init", "real") == "real"])
def test_as_many_atoms_as_features_are_the_features(target: Any) -> None:
    features = cloud(9)
    atoms = target.atoms(features, 9, rng())
    nearest = squared_distances(atoms.points, features).argmin(1)
    assert sorted(nearest.tolist()) == list(range(9))
    torch.testing.assert_close(atoms.points, features[nearest], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(atoms.weights, torch.full((9,), 1 / 9, dtype=torch.float64))
    assert atoms.report["objective"] < 1e-9


@pytest.mark.parametrize("target", TARGETS)
def test_same_generator_same_atoms_and_no_other_randomness(target: Any) -> None:
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two = (target.atoms(cloud(), 5, rng(4)) for _ in range(2))
    assert torch.equal(one.points, two.points)
    assert torch.equal(one.weights, two.weights)
    assert one.report == two.report
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == legacy).all()
    other = target.atoms(cloud(), 5, rng(5))
    assert not torch.equal(one.points, other.points)


@pytest.mark.parametrize("target", [BarycenterTarget(), KMeansTarget(), SlicedBarycenterTarget()])
def test_moving_and_scaling_the_features(target: Any) -> None:
    features = cloud()
    plain = target.atoms(features, 5, rng())
    other = target.atoms(1000 * features + 50, 5, rng())
    torch.testing.assert_close(other.points, 1000 * plain.points + 50, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(other.weights, plain.weights, rtol=1e-6, atol=1e-8)
    assert other.report["objective"] == pytest.approx(1e6 * plain.report["objective"], rel=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_dtype_protocol_and_refusals(target: Any) -> None:
    assert isinstance(target, Target)
    assert target.statistic == Features()
    assert type(target)(layer="conv").statistic == Features(layer="conv")
    for dtype in (torch.float32, torch.bfloat16):
        atoms = target.atoms(cloud().to(dtype), 3, rng())
        assert atoms.points.dtype == atoms.weights.dtype == torch.float32
    for count in (0, 61):
        with pytest.raises(DDBenchError, match=f"{count} images of a class that has 60"):
            target.atoms(cloud(), count, rng())
    with pytest.raises(DDBenchError, match="not finite"):
        target.atoms(cloud().index_fill(0, torch.tensor([3]), torch.nan), 3, rng())


def test_equal_features_are_no_trouble() -> None:
    for target in TARGETS:
        atoms = target.atoms(torch.ones(8, 3, dtype=torch.float64), 3, rng())
        assert atoms.points.isfinite().all()
        assert (atoms.weights > 0).all()


# -- Wasserstein barycenter --------------------------------------------------------------------


@pytest.mark.parametrize("target", BARYCENTERS)
def test_the_mean_of_the_class_is_preserved(target: Any) -> None:
    features = cloud()
    atoms = target.atoms(features, 7, rng())
    torch.testing.assert_close(atoms.weights @ atoms.points, features.mean(0))


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


def test_in_one_dimension_uniform_atoms_are_means_of_blocks_of_quantiles() -> None:
    features = cloud(12, 1)
    expected = features.sort(0).values.reshape(3, 4).mean(1)
    atoms = BarycenterTarget(weights="uniform").atoms(features, 3, rng())
    torch.testing.assert_close(atoms.points.flatten().sort().values, expected)
    sliced = SlicedBarycenterTarget().atoms(features, 3, rng())
    torch.testing.assert_close(sliced.points.flatten().sort().values, expected)


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


def test_duality_and_the_sign_of_the_potential() -> None:
    source = np.random.default_rng(0)
    cost = squared_distances(cloud(6), cloud(20, seed=1)).numpy()
    a, b = source.dirichlet(np.ones(6)), np.full(20, 1 / 20)
    found = solve_transport(a, b, cost)
    assert found.value == pytest.approx((found.plan * cost).sum())
    assert found.value == pytest.approx(a @ found.potential + b @ found.other)
    slack = cost - found.potential[:, None] - found.other
    assert slack.min() > -1e-9
    assert np.abs(slack[found.plan > 1e-12]).max() < 1e-9
    for other in source.dirichlet(np.ones(6), size=50):
        below = found.value + found.potential @ (other - a)
        assert solve_transport(other, b, cost).value >= below - 1e-9


@settings(max_examples=100, deadline=None)
@given(
    point=st.lists(st.floats(-5, 5), min_size=1, max_size=9),
    floor=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
)
def test_projection_to_the_simplex(point: list[float], floor: float) -> None:
    p, smallest = np.array(point), floor / len(point)
    w = project_to_simplex(p, smallest)
    assert w.sum() == pytest.approx(1)
    assert w.min() >= smallest - 1e-12
    # Nearest: no corner of the feasible set lies beyond the hyperplane through w across p - w.
    corners = smallest + (1 - smallest * len(p)) * np.eye(len(p))
    assert ((corners - w) @ (p - w)).max() <= 1e-9


@pytest.mark.parametrize(
    ("option", "value"), [("theta", 0.0), ("theta", 1.5), ("weight_floor", 0.0)]
)
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(DDBenchError, match=f"{option} is {value}"):
        BarycenterTarget(**{option: value})  # type: ignore[arg-type]
    with pytest.raises(DDBenchError, match="step is"):
        SlicedBarycenterTarget(step=0.0)


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


def test_more_restarts_of_k_means_are_no_worse() -> None:
    features = cloud()
    once, often = (
        [KMeansTarget(restarts=r).atoms(features, 8, rng(s)).report["objective"] for s in range(6)]
        for r in (1, 20)
    )
    # From one seed the first start is the same one, and the best of all starts counts.
    assert all(more <= one + 1e-9 for one, more in zip(once, often, strict=True))
    assert sum(often) < 0.98 * sum(once)


def test_k_means_finds_clumps_and_counts_them() -> None:
    centres = torch.tensor([[0.0, 0], [20, 0], [0, 20]], dtype=torch.float64)
    sizes = (5, 10, 25)
    features = torch.cat([c + cloud(n, 2) for c, n in zip(centres, sizes, strict=True)])
    atoms = KMeansTarget().atoms(features, 3, rng())
    order = atoms.weights.argsort()
    torch.testing.assert_close(atoms.weights[order], torch.tensor(sizes).double() / 40)
    means = torch.stack([part.mean(0) for part in features.split(sizes)])
    torch.testing.assert_close(atoms.points[order], means)


# -- sliced ------------------------------------------------------------------------------------


def weights_of(n: int, seed: int) -> Tensor:
    drawn = torch.rand(n, generator=rng(seed), dtype=torch.float64) + 0.05
    return drawn / drawn.sum()


def test_sliced_distance_is_the_square_of_pots() -> None:
    x, y, directions = cloud(7), cloud(11, seed=1), draw_directions(4, 30, rng())
    a, b = weights_of(7, 2), weights_of(11, 3)
    torch.testing.assert_close(directions.norm(dim=0), torch.ones(30, dtype=torch.float64))
    for shares in ((None, None), (a, b), (a, None)):
        mine = sliced_wasserstein_squared(x, y, directions, *shares).item()
        parts = (None if part is None else part.numpy() for part in shares)
        root = ot.sliced_wasserstein_distance(
            x.numpy(), y.numpy(), *parts, projections=directions.numpy()
        )
        assert mine == pytest.approx(root**2, rel=1e-9)


def test_in_one_dimension_all_transports_agree() -> None:
    x, y, a, b = cloud(7, 1), cloud(11, 1, seed=1), weights_of(7, 2), weights_of(11, 3)
    expected = ot.emd2_1d(x.numpy(), y.numpy(), a.numpy(), b.numpy(), metric="sqeuclidean")
    sliced = sliced_wasserstein_squared(x, y, draw_directions(1, 5, rng()), a, b)
    assert sliced.item() == pytest.approx(expected, rel=1e-9)
    assert wasserstein_squared(x, y, a * 3, b) == pytest.approx(expected, rel=1e-9)


def test_sliced_distance_of_a_shifted_cloud() -> None:
    x, shift = cloud(5, 3), torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    directions = draw_directions(3, 200_000, rng())
    value = sliced_wasserstein_squared(x, x + shift, directions).item()
    assert value == pytest.approx(5 / 3, rel=0.01)


def test_sliced_distance_has_a_gradient() -> None:
    directions = draw_directions(3, 8, rng())
    x, y = cloud(4, 3).requires_grad_(), cloud(6, 3, seed=1)
    a = weights_of(4, 1)
    assert torch.autograd.gradcheck(
        lambda points: sliced_wasserstein_squared(points, y, directions, a), (x,)
    )


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
