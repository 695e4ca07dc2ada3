"""DC and DSA: the distance of gradients, its slope, and what the loop depends on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError
from ddbench.runtime.seeds import make_generator
from ddbench.testing import TinyProblem, tiny_images, tiny_info
from ddbench_plugins.distillers._gradients import compare_gradients
from ddbench_plugins.distillers._synthetic import DSA, group_rows
from ddbench_plugins.distillers.gradient_matching import GradientMatching
from ddbench_plugins.recipes.condensation import LOOPS, dc, dsa
from tests.doubles.random_network_doubles import Double, Watched

NEEDS = frozenset({"networks"})
FAST = GradientMatching(iterations=2, outer=2, inner=1, batch_real=4, batch_train=4)


def problem() -> Double:
    return Double(needs=NEEDS)


def images_of(made: TinyProblem) -> Tensor:
    return tiny_images(tiny_info(), made.labels).double()


def gradients(*seed: object) -> list[Tensor]:
    rng = make_generator(0, *seed)
    shapes = [(4, 3, 3, 3), (4,), (2, 16)]
    return [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]


# -- the distance ----------------------------------------------------------------------------------


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


# -- its slope -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["rows", "cosine", "squares"])
@pytest.mark.parametrize("augment", ["", "color_scale"])
def test_the_slope_is_that_of_finite_differences(how, augment):
    part, made = replace(FAST, distance=how, augment=augment), problem()
    images, network = images_of(made), made.fresh_network(0)
    classes = group_rows(made, torch.arange(6))
    towards = torch.randn(images.shape, generator=make_generator(3), dtype=torch.float64)
    _, slope = part.compute_slope(made, network, images, classes, 0, 0)

    def loss(step: float) -> float:
        return float(part.compute_slope(made, network, images + step * towards, classes, 0, 0)[0])

    found = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert float((slope * towards).sum()) == pytest.approx(found, rel=1e-4)


def test_a_linear_models_gradient_is_that_of_the_books():
    """(p − y) xᵀ, so that images equal to the real ones match, and others do not."""

    class Linear(Double):
        def fresh_network(self, *names):
            network = super().fresh_network(*names)
            module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double()
            return replace(network, module=module, classifier="1")

    made = Linear(needs=NEEDS)
    x = made.real(0).double()[:2]
    network = made.fresh_network(0)
    (found,) = GradientMatching()._differentiate(made, network, x, 0)
    p = network.module(x).softmax(1) - F.one_hot(torch.zeros(2, dtype=torch.long), 3)
    torch.testing.assert_close(found, (p.T @ x.flatten(1) / 2).detach())


def test_images_equal_to_the_real_ones_are_left_alone():
    made = Double(needs=NEEDS, labels=torch.arange(3).repeat_interleave(6))
    images = torch.cat([made.real(cls) for cls in range(3)]).double()
    part = replace(FAST, batch_real=6, augment="color")
    classes = group_rows(made, torch.arange(18))
    loss, slope = part.compute_slope(made, made.fresh_network(0), images, classes, 0, 0)
    assert loss == pytest.approx(0, abs=1e-3)  # 1e-6 beside small norms
    _, other = part.compute_slope(made, made.fresh_network(0), images.flip(3), classes, 0, 0)
    assert slope.norm() < 1e-2 * other.norm()


# -- the loop --------------------------------------------------------------------------------------


def test_dsa_without_augmentation_is_dc():
    info = tiny_info(pixels=32)
    plain = replace(dsa(info, 10).distiller, augment="", init="noise")
    assert plain == dc(info, 10).distiller
    augmented = replace(FAST, augment=DSA, init="noise")
    without = TinyProblem(needs=NEEDS)
    rows = torch.arange(6)
    same = replace(augmented, augment="").recover(without, rows)
    torch.testing.assert_close(same, FAST.recover(without, rows))
    assert not torch.equal(same, augmented.recover(without, rows))


@pytest.mark.parametrize("change", [{"inner": 0}, {"lr_net": 0.5}, {"outer": 1}, {"lr": 0.7}])
def test_every_loop_and_rate_bears_on_the_images(change):
    rows, made = torch.arange(6), TinyProblem(needs=NEEDS)
    assert not torch.equal(FAST.recover(made, rows), replace(FAST, **change).recover(made, rows))


def test_matching_brings_gradients_nearer():
    losses: list[Tensor] = []
    made, rows = Watched(needs=NEEDS, losses=losses), torch.arange(6)
    part = replace(FAST, iterations=30, batch_real=6, lr=0.3)
    part.recover(made, rows)
    assert len(losses) == part.iterations_of(made, rows) == 60
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_the_papers_loops_are_taken_and_those_between_them():
    info = tiny_info(pixels=32)
    for ipc, loops in (*LOOPS.items(), (5, (1, 1)), (15, (10, 50)), (100, (50, 10))):
        distiller = dc(info, ipc).distiller
        assert (distiller.outer, distiller.inner) == loops
    assert dc(info, 10).distiller.iterations == 1000


def test_options_out_of_range_are_refused():
    with pytest.raises(DDBenchError, match="outer is 0"):
        GradientMatching(outer=0)
    with pytest.raises(DDBenchError, match="no operation 'colour'"):
        GradientMatching(augment="colour")
