"""The energy distance: its contract, and its number against SciPy, a loop and differences."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import energy_distance as scipy_energy_distance

from ddbench.api.features import Features, feature_tap
from ddbench.testing import check_part, collect, tiny_info, tiny_network, tiny_step
from ddbench_energy.matcher import Energy, Spread, energy_distance


def points(count: int, dims: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dims, generator=rng, dtype=torch.float64)


def spread_of(real: torch.Tensor) -> torch.Tensor:
    return torch.stack([(a - b).norm() for a in real for b in real]).mean()


def test_contract():
    assert check_part("matcher", "energy", Energy()) == []


def test_is_the_square_of_scipys_in_one_dimension():
    made, real = points(5, 1, 0), points(9, 1, 1)
    weights = torch.tensor([0.1, 0.4, 0.2, 0.2, 0.1], dtype=torch.float64)
    theirs = scipy_energy_distance(made[:, 0], real[:, 0], weights)
    found = energy_distance(made, weights, real, spread_of(real))
    assert found.item() == pytest.approx(theirs**2, rel=1e-9)


def test_agrees_with_a_loop():
    made, real = points(3, 4, 0), points(6, 4, 1)
    weights = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)  # need not sum to 1
    shares = weights / weights.sum()
    across = sum(w * (x - y).norm() for w, x in zip(shares, made, strict=True) for y in real) / 6
    within = sum(
        v * w * (x - y).norm()
        for v, x in zip(shares, made, strict=True)
        for w, y in zip(shares, made, strict=True)
    )
    found = energy_distance(made, weights, real, spread_of(real))
    assert found.item() == pytest.approx(float(2 * across - within - spread_of(real)), rel=1e-9)


def test_is_zero_for_equal_and_positive_for_shifted_points():
    real = points(6, 3, 0)
    weights = torch.ones(6, dtype=torch.float64)
    assert energy_distance(real, weights, real, spread_of(real)).item() == pytest.approx(0)
    assert energy_distance(real + 1, weights, real, spread_of(real)).item() > 0.1


def test_gradient_is_right():
    made, real = points(3, 2, 0).requires_grad_(True), points(5, 2, 1)
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: energy_distance(x, weights, real, spread_of(real)), [made]
    )


def test_classes_are_compared_with_their_own_real_images_and_summed():
    step = tiny_step(Energy())
    features = step.acts.taps[feature_tap(step.network)]["features"]
    real = step.known[Features()]
    total = 0.0
    for cls in (0, 1, 2):
        here, theirs = step.labels == cls, real["features"][real["labels"] == cls]
        total += energy_distance(
            features[here], step.weights[here], theirs, spread_of(theirs)
        ).item()
    assert Energy().loss(step).item() == pytest.approx(total, rel=1e-4)


def test_spread_is_the_mean_distance_of_two_real_features():
    info, network = tiny_info(), tiny_network()
    real = collect(Features(), network, info)
    wanted = [spread_of(real["features"][real["labels"] == cls]).item() for cls in (0, 1, 2)]
    found = collect(Spread(), network, info)["spread"]
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)
