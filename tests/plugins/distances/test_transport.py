"""Exact transport: duality, and the same plan and value whatever the guess it is sped up by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench_plugins.distances import transport as module
from ddbench_plugins.distances.transport import (
    solve_transport,
    solve_transport_from_guess,
    squared_distances,
)
from tests.doubles.clouds import cloud
from tests.doubles.matcher_steps import tensors


def _problem(atoms: int, points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    cost = np.square(rng.normal(size=(atoms, 1, 5)) - rng.normal(size=(1, points, 5))).sum(2)
    return rng.dirichlet(np.full(atoms, 5.0)), cost


@given(
    atoms=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    error=st.sampled_from([0.0, 0.01, 0.3, 30.0]),
    equal=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_same_transport_whatever_the_guess(
    atoms: int, seed: int, error: float, equal: bool
) -> None:
    """Value, marginals and certificate; `equal` weights are whole points, so that splits vanish."""
    points = 240
    weights, cost = _problem(atoms, points, seed)
    if equal:
        weights = np.full(atoms, 1 / atoms)
    whole = np.full(points, 1 / points)
    exact = solve_transport(weights, whole, cost)
    noise = np.random.default_rng(seed + 1).normal(size=atoms)
    found = solve_transport_from_guess(weights, cost, exact.potential + error * noise)
    assert found.value == pytest.approx(exact.value, rel=1e-11)
    np.testing.assert_allclose(found.plan.sum(1), weights, rtol=1e-9)
    np.testing.assert_allclose(found.plan.sum(0), whole, rtol=1e-9)
    assert (found.potential[:, None] + found.other <= cost + 1e-9).all()
    dual = weights @ found.potential + found.other.mean()
    assert dual == pytest.approx(exact.value, rel=1e-9)


def test_plan_and_potentials_of_the_whole_problem() -> None:
    """Where weights split points, both are unique (potentials up to a constant)."""
    weights, cost = _problem(5, 400, 3)
    exact = solve_transport(weights, np.full(400, 1 / 400), cost)
    found = solve_transport_from_guess(weights, cost, exact.potential + 0.02)
    np.testing.assert_allclose(found.plan, exact.plan, atol=1e-12)
    np.testing.assert_allclose(np.ptp(found.potential - exact.potential), 0, atol=1e-9)


def test_a_good_guess_leaves_little_to_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    """No problem of all points is solved, as it is without a guess."""
    weights, cost = _problem(5, 1000, 4)
    exact = solve_transport(weights, np.full(1000, 1 / 1000), cost)
    asked: list[int] = []

    def counted(first: np.ndarray, second: np.ndarray, cost: np.ndarray) -> object:
        asked.append(len(second))
        return solve_transport(first, second, cost)

    monkeypatch.setattr(module, "solve_transport", counted)
    solve_transport_from_guess(weights, cost, exact.potential)
    assert asked == []
    solve_transport_from_guess(weights, cost, None)
    assert asked == [1000]


def test_an_atom_without_weight() -> None:
    """Its potential is not settled by points of its own."""
    _, cost = _problem(3, 300, 5)
    weights = np.array([0.0, 0.4, 0.6])
    exact = solve_transport(weights, np.full(300, 1 / 300), cost)
    found = solve_transport_from_guess(weights, cost, np.zeros(3))
    assert found.value == pytest.approx(exact.value, rel=1e-12)
    assert not found.plan[0].any()


def test_squared_distances_far_from_the_origin() -> None:
    x, y = tensors(5, 8), tensors(9, 8, seed=1)
    expected = ((x[:, None] - y) ** 2).sum(2)
    torch.testing.assert_close(squared_distances(x, y), expected)
    near = squared_distances((x + 1e3).float(), (y + 1e3).float())
    torch.testing.assert_close(near.double(), expected, rtol=1e-2, atol=1e-2)
    assert (squared_distances(x, x) >= 0).all()


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
