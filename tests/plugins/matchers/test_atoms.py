"""Matchers towards atoms: the distance of every image to an atom of its own, and the simplex."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench_plugins.matchers._atoms import atom_loss, project_to_simplex
from ddbench_plugins.matchers.kmeans import KMeans
from ddbench_plugins.matchers.sliced_wasserstein import SlicedWasserstein
from ddbench_plugins.matchers.wasserstein import Wasserstein
from tests.doubles.matcher_steps import DIM, step_of, tensors, tiny_features


def test_squared_and_unsquared_norm() -> None:
    gap = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert atom_loss(gap, torch.zeros(2, 2), "squared") == 25
    assert atom_loss(gap, torch.zeros(2, 2), "l2") == 5


@pytest.mark.parametrize("part", [Wasserstein, KMeans, SlicedWasserstein])
def test_loss_is_the_distance_of_image_j_to_atom_j(part: Any) -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    atoms = tensors(7, DIM, seed=9)
    by_hand = ((tiny_features(images) - atoms) ** 2).sum()
    squared = part().loss(step_of(part(), images, atoms=atoms))
    unsquared = part(norm="l2").loss(step_of(part(), images, atoms=atoms))
    torch.testing.assert_close(squared, by_hand)
    torch.testing.assert_close(unsquared, by_hand.sqrt())
    swapped = part().loss(step_of(part(), images, atoms=atoms.flip(0)))
    assert (swapped - squared).abs() > 0.1


@pytest.mark.parametrize("norm", ["squared", "l2"])
def test_gradient_at_the_atoms_is_zero(norm: Any) -> None:
    features = tensors(3, DIM).requires_grad_()
    atom_loss(features, features.detach().clone(), norm).backward()
    assert features.grad is not None
    assert (features.grad == 0).all()


def test_float64_atoms_do_not_widen_the_loss() -> None:
    loss = atom_loss(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.float64), "squared")
    assert loss.dtype == torch.float32


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
