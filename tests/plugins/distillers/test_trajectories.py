"""The way that is left, and its slope through a student's steps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.api.types import Network
from ddbench.runtime.seeds import make_generator
from ddbench.testing import TinyProblem, tiny_images, tiny_info
from ddbench_plugins.distillers._trajectories import (
    Weights,
    descend,
    measure_way_left,
    train_expert,
    walk,
)
from ddbench_plugins.distillers.trajectory_matching import TrajectoryMatching

NEEDS = frozenset({"networks"})


FAST = TrajectoryMatching(
    iterations=3, steps=4, ahead=1, latest=2, experts=2, expert_lr=0.1, expert_batch=6, rate=0.1,
    lr=1.0, lr_rate=1e-4,
)  # fmt: skip


def network() -> Network:
    made = TinyProblem(needs=NEEDS).fresh_network(0)
    made.module.double()
    return made


def images(*labels: int) -> tuple[Tensor, Tensor]:
    rows = torch.tensor(labels)
    return tiny_images(tiny_info(), rows).double(), rows


def test_a_flat_vector_is_the_network():
    one = network()
    x, _ = images(0, 1, 2)
    torch.testing.assert_close(
        Weights(one).compute_logits(Weights(one).flatten(), x), one.module(x)
    )


def test_steps_are_those_of_plain_sgd():
    one, x, y = network(), *images(0, 1, 2, 0)
    start = Weights(one).flatten()
    end = walk(Weights(one), start, torch.tensor(0.3).double(), [(x, y)] * 3)
    sgd = torch.optim.SGD(one.module.parameters(), lr=0.3)
    for _ in range(3):
        sgd.zero_grad()
        F.cross_entropy(one.module(x), y).backward()
        sgd.step()
    torch.testing.assert_close(end, Weights(one).flatten())


def test_the_way_left_is_one_at_the_start_and_nothing_at_the_target():
    start, target = torch.randn(7), torch.randn(7)
    assert measure_way_left(start, start, target) == 1
    assert measure_way_left(target, start, target) == 0
    ours = torch.randn(7)
    scaled = measure_way_left(3 * ours, 3 * start, 3 * target)
    torch.testing.assert_close(scaled, measure_way_left(ours, start, target))


def test_a_student_that_does_not_learn_has_the_whole_way_left():
    one, batch = network(), images(0, 1)
    start = Weights(one).flatten()
    end = walk(Weights(one), start, torch.tensor(0.0).double(), [batch])
    assert measure_way_left(end, start, start + 1).item() == pytest.approx(1)


def test_slopes_to_images_and_rate_are_those_of_finite_differences():
    one, (x, y) = network(), images(0, 1, 2)
    start = Weights(one).flatten()
    target = start + 0.1 * torch.randn(len(start), generator=make_generator(1)).double()
    towards = torch.randn(x.shape, generator=make_generator(2)).double()

    def loss(pixels: Tensor, rate: Tensor) -> Tensor:
        return measure_way_left(walk(Weights(one), start, rate, [(pixels, y)] * 3), start, target)

    leaf, rate = x.clone().requires_grad_(True), torch.tensor(0.2).double().requires_grad_(True)
    to_images, to_rate = torch.autograd.grad(loss(leaf, rate), [leaf, rate])
    h = 1e-6
    along = (loss(x + h * towards, rate) - loss(x - h * towards, rate)).item() / (2 * h)
    assert (to_images * towards).sum().item() == pytest.approx(along, rel=1e-4)
    by_rate = (loss(x, rate + h) - loss(x, rate - h)).item() / (2 * h)
    assert to_rate.item() == pytest.approx(by_rate, rel=1e-4)


def test_in_a_quadratic_the_end_and_its_slopes_are_those_of_the_books():
    """ℓ = ½ ‖θ − s‖²: θ_N = s + (1 − α)^N (θ_0 − s), and so on for its derivatives."""
    draw = partial(torch.randn, 5, generator=make_generator(4), dtype=torch.float64)
    start, s, target = draw(), draw().requires_grad_(True), draw()
    rate, steps = torch.tensor(0.3, dtype=torch.float64, requires_grad=True), 7
    end = descend(start, rate, [lambda theta: 0.5 * (theta - s).square().sum()] * steps)
    left, way = (1 - 0.3) ** steps, (start - target).square().sum()
    torch.testing.assert_close(end, s + left * (start - s))
    to_s, to_rate = torch.autograd.grad(measure_way_left(end, start, target), [s, rate])
    gap = 2 * (end - target).detach() / way
    torch.testing.assert_close(to_s, gap * (1 - left))
    by_rate = -steps * (1 - 0.3) ** (steps - 1) * (start - s).detach()
    torch.testing.assert_close(to_rate, (gap * by_rate).sum())


def test_slopes_are_those_of_torchs_own_transforms():
    one, (x, y) = network(), images(0, 1, 2)
    start = Weights(one).flatten()
    target = start + 0.1 * torch.randn(len(start), generator=make_generator(1)).double()

    def loss(pixels: Tensor, rate: Tensor) -> Tensor:
        vector = start
        for _ in range(2):
            slope = torch.func.grad(
                lambda v: F.cross_entropy(Weights(one).compute_logits(v, pixels), y)
            )
            vector = vector - rate * slope(vector)
        return measure_way_left(vector, start, target)

    rate = torch.tensor(0.2, dtype=torch.float64)
    wanted = torch.func.grad(loss, argnums=(0, 1))(x, rate)
    leaf, alpha = x.clone().requires_grad_(True), rate.clone().requires_grad_(True)
    ours = measure_way_left(walk(Weights(one), start, alpha, [(leaf, y)] * 2), start, target)
    for mine, theirs in zip(torch.autograd.grad(ours, [leaf, alpha]), wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_an_expert_leaves_a_point_an_epoch_and_learns():
    made = TinyProblem(needs=NEEDS)
    real = torch.cat([made.real(cls) for cls in range(3)])
    labels = torch.arange(3).repeat_interleave(6)
    one = made.fresh_network(0)
    before = F.cross_entropy(one.module(real), labels).item()
    told = {"lr": 0.2, "batch_size": 5, "names": ("color",)}
    trail = train_expert(one, one.module, real, labels, epochs=4, rng=make_generator(0), **told)
    assert len(trail) == 5
    assert torch.equal(trail[-1], Weights(one).flatten())
    assert F.cross_entropy(one.module(real), labels).item() < before
    two = made.fresh_network(0)
    short = train_expert(two, two.module, real, labels, epochs=2, rng=make_generator(0), **told)
    assert all(torch.equal(a, b) for a, b in zip(short, trail, strict=False))


def test_batches_of_an_epoch_are_each_image_once_and_the_short_one_comes_first():
    part = replace(FAST, batch_synthetic=4, steps=6)
    rows = list(part.draw_rows(10, make_generator(0)))
    assert [len(some) for some in rows] == [2, 4, 4, 2, 4, 4]
    for epoch in (rows[:3], rows[3:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(10))
    assert [len(some) for some in FAST.draw_rows(10, make_generator(0))] == [10] * 4
