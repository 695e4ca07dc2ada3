"""Distances of gradients: rows, whole gradients, scales and orders."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.runtime.seeds import make_generator
from ddbench_plugins.distillers._gradients import compare_gradients


def gradients(*seed: object) -> list[Tensor]:
    rng = make_generator(0, *seed)
    shapes = [(4, 3, 3, 3), (4,), (2, 16)]
    return [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("how", ["rows", "cosine", "squares"])
def test_equal_gradients_have_no_distance(how):
    one = gradients("a")
    assert compare_gradients(one, one, how) == pytest.approx(0, abs=1e-5)
    assert compare_gradients(one, gradients("b"), how) > 0.1


def test_rows_do_not_see_the_scale_of_a_row():
    one, other = gradients("a"), gradients("b")
    scaled = [g * torch.rand(len(g), *[1] * (g.dim() - 1)).double().add(0.5) for g in other]
    before, after = (compare_gradients(one, made, "rows") for made in (other, scaled))
    assert after == pytest.approx(float(before), rel=1e-5)


def test_no_scale_of_a_whole_gradient_makes_a_distance():
    one = gradients("a")
    for factor in (1e-3, 0.5, 40.0):
        scaled = [factor * gradient for gradient in one]
        assert compare_gradients(one, scaled, "rows") == pytest.approx(0, abs=1e-3)
        assert compare_gradients(one, scaled, "cosine") == pytest.approx(0, abs=1e-3)
    assert compare_gradients(one, [2 * gradient for gradient in one], "squares") > 1


def test_the_order_of_rows_is_none_and_each_counts_two_at_most():
    one, other = gradients("a"), gradients("b")
    order = [torch.randperm(len(g), generator=make_generator(5)) for g in one]
    mixed = [[g[o] for g, o in zip(side, order, strict=True)] for side in (one, other)]
    torch.testing.assert_close(
        compare_gradients(*mixed, "rows"), compare_gradients(one, other, "rows")
    )
    worst = compare_gradients(one, [-gradient for gradient in one], "rows")
    assert worst == pytest.approx(2 * (4 + 2), abs=1e-4)
    assert compare_gradients(one, other, "rows") < worst


def test_rows_are_counted_and_vectors_are_not():
    one = [torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.ones(3)]
    other = [torch.tensor([[1.0, 0.0], [0.0, -1.0]]), -torch.ones(3)]
    assert compare_gradients(one, other, "rows") == pytest.approx(2, abs=1e-5)


def test_rows_agree_with_a_loop():
    one, other = gradients("a"), gradients("b")
    total = 0.0
    for a, b in ((one[0], other[0]), (one[2], other[2])):
        for row, its in zip(a.flatten(1), b.flatten(1), strict=True):
            total += 1 - float(F.cosine_similarity(row, its, dim=0))
    assert compare_gradients(one, other, "rows") == pytest.approx(total, rel=1e-5)


def test_a_dead_row_gives_no_infinite_slope():
    dead = torch.zeros(2, 3, requires_grad=True)
    compare_gradients([torch.ones(2, 3)], [dead], "rows").backward()
    assert torch.isfinite(dead.grad).all()
