"""DC and DSA: the slope of the distance of gradients, and what the loop depends on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError
from ddbench.runtime.seeds import make_generator
from ddbench.testing import TinyProblem, tiny_images, tiny_info
from ddbench_plugins.distillers._synthetic import DSA, group_rows
from ddbench_plugins.distillers.gradient_matching import GradientMatching
from tests.doubles.random_network_doubles import Double, Watched

NEEDS = frozenset({"networks"})


FAST = GradientMatching(iterations=2, outer=2, inner=1, batch_real=4, batch_train=4)


def problem() -> Double:
    return Double(needs=NEEDS)


def images_of(made: TinyProblem) -> Tensor:
    return tiny_images(tiny_info(), made.labels).double()


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


def test_dsa_without_augmentation_is_dc():
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


def test_options_out_of_range_are_refused():
    with pytest.raises(DDBenchError, match="outer is 0"):
        GradientMatching(outer=0)
    with pytest.raises(DDBenchError, match="no operation 'colour'"):
        GradientMatching(augment="colour")
