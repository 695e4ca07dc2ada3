"""The sliced distance against POT, in one dimension, and its gradient."""

from __future__ import annotations

import ot
import pytest
import torch
from torch import Tensor

from ddbench_plugins.distances.sliced import draw_directions, sliced_wasserstein_squared
from ddbench_plugins.distances.transport import wasserstein_squared
from tests.doubles.clouds import cloud, rng


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
