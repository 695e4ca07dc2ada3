"""MTT: the way that is left, its slope through a student's steps, experts and batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError, IncompatibleError
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
from ddbench_plugins.recipes.mtt import mtt

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


@dataclass(kw_only=True)
class Watched(TinyProblem):
    """Keeps the losses that it is told."""

    losses: list[Tensor]

    def tick(self, loss=None):
        self.losses.append(loss)


def test_matching_shortens_the_way():
    losses: list[Tensor] = []
    part = replace(FAST, iterations=40, lr=20.0, augment="")
    part.recover(Watched(needs=NEEDS, distiller=part, losses=losses), torch.arange(6))
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])


@pytest.mark.parametrize(
    "change", [{"rate": 0.2}, {"steps": 2}, {"lr_rate": 0.1}, {"latest": 1}, {"experts": 1}]
)
def test_every_option_bears_on_the_images(change):
    rows, found = torch.arange(6), []
    for part in (FAST, replace(FAST, **change)):
        found.append(part.recover(TinyProblem(needs=NEEDS, distiller=part), rows))
    assert not torch.equal(*found)


@pytest.mark.parametrize("change", [{"rate": 0.2}, {"steps": 2}, {"lr": 3.0}, {"iterations": 9}])
def test_experts_are_shared_by_settings_that_do_not_bear_on_them(change):
    assert replace(FAST, **change).preparation == FAST.preparation
    told = {"latest": 3, "experts": 3, "expert_lr": 0.2, "expert_batch": 5, "augment": ""}
    for name, value in told.items():
        assert replace(FAST, **{name: value}).preparation != FAST.preparation


def test_an_expert_is_trained_as_far_as_it_is_looked_at():
    """Starts 0 and 1, each an epoch from its end; every expert has a start of its own."""
    made = TinyProblem(needs=NEEDS, distiller=FAST)
    size = len(Weights(made.fresh_network(0)).flatten())
    assert [piece.shape for piece in made.prepared] == [(3, size)] * 2
    first, second = (piece[0] for piece in made.prepared)
    assert torch.equal(first, Weights(made.fresh_network("expert", 0)).flatten())
    assert not torch.equal(first, second)


def test_batch_normalisation_does_not_fit():
    bare = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 3))
    with pytest.raises(IncompatibleError, match="running statistics"):
        Weights(Network(bare, "2"))


@pytest.mark.parametrize(
    ("name", "pixels", "ipc", "wanted"),
    [
        ("cifar10", 32, 1, (50, 2, 2, 100, 1e-7, 0.01, 0)),
        ("cifar10", 32, 10, (30, 2, 20, 100, 1e-5, 0.001, 0)),
        ("cifar10", 32, 50, (30, 2, 40, 1000, 1e-5, 0.001, 0)),
        ("cifar100", 32, 1, (20, 3, 20, 1000, 1e-5, 0.01, 0)),
        ("cifar100", 32, 10, (20, 2, 20, 1000, 1e-5, 0.01, 0)),
        ("cifar100", 32, 50, (80, 2, 40, 1000, 1e-5, 0.01, 125)),
        ("tiny_imagenet", 64, 1, (10, 2, 10, 1e4, 1e-4, 0.01, 0)),
        ("tiny_imagenet", 64, 10, (20, 2, 40, 1e4, 1e-4, 0.01, 200)),
        ("tiny_imagenet", 64, 50, (20, 2, 40, 1e4, 1e-4, 0.01, 300)),
        ("imagenette@128", 128, 1, (20, 2, 10, 1000, 1e-6, 0.01, 0)),
    ],
)
def test_the_papers_settings_are_taken(name, pixels, ipc, wanted):
    """N, M, T⁺, rates of images and of the rate, the rate, images a step."""
    part = mtt(replace(tiny_info(pixels=pixels), name=name), ipc).distiller
    told = (part.steps, part.ahead, part.latest, part.lr, part.lr_rate, part.rate)
    assert (*told, part.batch_synthetic) == wanted
    assert (part.iterations, part.momentum, part.init) == (5000, 0.5, "real")
    assert (part.experts, part.expert_lr, part.expert_batch) == (100, 0.01, 256)


def test_other_ipc_take_the_largest_that_is_not_above():
    info = replace(tiny_info(pixels=32), name="cifar100")
    assert mtt(info, 5).distiller == mtt(info, 1).distiller


def test_options_out_of_range_are_refused():
    with pytest.raises(DDBenchError, match="steps is 0"):
        TrajectoryMatching(steps=0)
