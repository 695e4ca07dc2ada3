"""MMD by hand, pair by pair and by explicit features; what it does not depend on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench_plugins.distances.mmd import (
    adaptive_bandwidth,
    linear_mmd_squared,
    polynomial_mmd_squared,
    rbf_mmd_squared,
)
from tests.doubles.matcher_steps import tensors


@pytest.mark.parametrize("distance", [1e-3, 1.0, 77.0])
def test_rbf_mmd_of_two_points_is_a_constant(distance: float) -> None:
    x = torch.zeros(1, 2, dtype=torch.float64)
    y = torch.tensor([[0.6, 0.8]], dtype=torch.float64) * distance
    assert rbf_mmd_squared(x, y).item() == pytest.approx(6.186276387, abs=1e-8)


def test_bandwidth_by_hand_and_without_gradient() -> None:
    x, y = tensors(4, 3).requires_grad_(), tensors(6, 3, seed=1)
    stacked = torch.cat([x, y]).detach()
    expected = torch.cdist(stacked, stacked).square().sum() / 90
    found = adaptive_bandwidth(x, y)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    (adaptive,) = torch.autograd.grad(rbf_mmd_squared(x, y), x)
    (fixed,) = torch.autograd.grad(rbf_mmd_squared(x, y, bandwidth=expected), x)
    torch.testing.assert_close(adaptive, fixed)


def brute_force(kernel: Any, x: Tensor, y: Tensor) -> float:
    """The U-statistic, pair by pair."""
    m, n = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j)
    within_y = sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j)
    across = sum(kernel(u, v) for u in x for v in y)
    return float(within_x / (m * m - m) + within_y / (n * n - n) - 2 * across / (m * n))


def test_unbiased_mmd_pair_by_pair() -> None:
    x, y = tensors(4, 3), tensors(6, 3, seed=1) + 0.5
    h = adaptive_bandwidth(x, y)

    def gaussians(u: Tensor, v: Tensor) -> Tensor:
        return sum(torch.exp(-((u - v) ** 2).sum() / (h * 2.0**i)) for i in range(-2, 3))

    rbf = rbf_mmd_squared(x, y, biased=False)
    assert rbf.item() == pytest.approx(brute_force(gaussians, x, y), rel=1e-10)
    linear = linear_mmd_squared(x, y, biased=False)
    assert linear.item() == pytest.approx(brute_force(torch.dot, x, y), rel=1e-10)


def test_polynomial_mmd_by_its_explicit_features() -> None:
    """(⟨u, v⟩ + 1)² = ⟨φ(u), φ(v)⟩, φ(u) = (1, √2 u, u uᵀ)."""
    x, y = tensors(4, 3), tensors(6, 3, seed=1) + 0.5
    a = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)

    def expanded(points: Tensor) -> Tensor:
        second = (points[:, :, None] * points[:, None]).flatten(1)
        return torch.cat([torch.ones(len(points), 1), 2**0.5 * points, second], 1)

    found = polynomial_mmd_squared(x, y, a)
    torch.testing.assert_close(found, linear_mmd_squared(expanded(x), expanded(y), a))
    unbiased = polynomial_mmd_squared(x, y, biased=False).item()
    pairs = brute_force(lambda u, v: (torch.dot(u, v) + 1) ** 2, x, y)
    assert unbiased == pytest.approx(pairs, rel=1e-10)


def test_unbiased_linear_mmd_of_weighted_points_by_hand() -> None:
    x, y = tensors(4, 3), tensors(6, 3, seed=1)
    a = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)

    def own(points: Tensor, w: Tensor) -> Tensor:  # half of the mean squared distance of all pairs
        spread = 0.5 * (w[:, None] * w * torch.cdist(points, points) ** 2).sum()
        return spread * (w**2).sum() / (1 - (w**2).sum())

    b = torch.full((6,), 1 / 6, dtype=torch.float64)
    expected = ((a @ x - y.mean(0)) ** 2).sum() - own(x, a) - own(y, b)
    torch.testing.assert_close(linear_mmd_squared(x, y, a, biased=False), expected)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("distance", [linear_mmd_squared, rbf_mmd_squared])
def test_mmd_invariances(distance: Any, biased: bool) -> None:
    x, y = tensors(4, 3), tensors(6, 3, seed=1) + 0.5
    a = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    value = distance(x, y, a, biased=biased)
    turn = torch.linalg.qr(tensors(3, 3, seed=2)).Q
    torch.testing.assert_close(distance(x @ turn + 9, y @ turn + 9, a, biased=biased), value)
    scaled = distance(x * 50, y * 50, a, biased=biased)
    expected = value if distance is rbf_mmd_squared else value * 2500
    torch.testing.assert_close(scaled, expected)
    torch.testing.assert_close(distance(y, x, None, a, biased=biased), value, rtol=1e-9, atol=1e-9)


def test_biased_mmd_of_a_cloud_with_itself_is_zero() -> None:
    x = tensors(6, 3)
    assert abs(rbf_mmd_squared(x, x.flip(0)).item()) < 1e-12
    assert linear_mmd_squared(x, x.flip(0)).item() < 1e-25
    assert rbf_mmd_squared(x, x + 0.1).item() > 1e-6


def test_gradient_is_finite_where_all_points_coincide() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    rbf_mmd_squared(x, torch.ones(4, 3)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
