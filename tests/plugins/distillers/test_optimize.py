"""The recover loop: rates, ranges, views, groups, and what a draw depends on."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.runtime.seeds import make_generator
from ddbench_plugins.distillers import optimize, select
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.distillers.select import RandomSelection, WholeSet
from tests.doubles.toy_problem import INFO, Toy, classes, total

STILL: dict[str, Any] = {"crop": (1.0, 1.0), "flip": False, "roll": (0, 0)}
"""No view differs from the image."""


def test_rate_begins_at_lr_halves_in_the_middle_and_would_end_at_zero() -> None:
    part = Optimize(lr=0.25, iterations=2000)
    assert part.compute_rate(0) == 0.25
    assert part.compute_rate(1000) == pytest.approx(0.125)
    assert part.compute_rate(2000) == pytest.approx(0, abs=1e-17)
    assert part.compute_rate(1999) == pytest.approx(0.25 * (math.pi / 4000) ** 2, rel=1e-5)
    rates = [part.compute_rate(t) for t in range(2000)]
    assert all(after < before for before, after in itertools.pairwise(rates))


def test_under_a_constant_slope_adam_moves_by_the_rate_of_each_step() -> None:
    """Adam's bias-corrected step is lr sign(g) wherever the slope never changes."""
    part = Optimize(iterations=12, lr=0.1, clamp=False, **STILL)
    problem = Toy(classes(2, 2, 2), total)
    made = part.recover(problem, torch.arange(6))
    start = problem.views[0]
    steps = [(a - b) for a, b in zip(problem.views, [*problem.views[1:], made], strict=True)]
    for iteration, step in enumerate(steps):
        expected = 0.05 * (1 + math.cos(math.pi * iteration / 12))
        torch.testing.assert_close(step, torch.full_like(step, expected), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(start - made, torch.full_like(made, 0.1 * 13 / 2))


def test_progress_runs_from_0_to_1_and_every_iteration_ticks_with_its_loss() -> None:
    problem = Toy(classes(1, 1, 1), total)
    part = Optimize(iterations=5, **STILL)
    part.recover(problem, torch.arange(3))
    assert problem.progress == [0, 0.25, 0.5, 0.75, 1]
    assert problem.losses == pytest.approx([float(v.sum()) for v in problem.views])
    assert part.iterations_of(problem, torch.arange(3)) == len(problem.losses)
    one = Toy(classes(1), total)
    Optimize(iterations=1, **STILL).recover(one, torch.arange(1))
    assert one.progress == [0]


@pytest.mark.parametrize(("sign", "level"), [(1.0, 0.0), (-1.0, 1.0)])
def test_clamp_stops_at_black_and_white(sign: float, level: float) -> None:
    def loss(images: Tensor, indices: Tensor) -> Tensor:
        return sign * images.sum()

    part = Optimize(iterations=40, lr=1.0, **STILL)
    problem = Toy(classes(1, 1, 1), loss)
    made = part.recover(problem, torch.arange(3))
    wanted = problem.normalise(torch.full((3, 2, 6, 6), level))
    torch.testing.assert_close(made, wanted)
    low, high = problem.pixel_range()
    assert all(((view >= low) & (view <= high)).all() for view in problem.views[1:])
    free = replace(part, clamp=False).recover(Toy(classes(1, 1, 1), loss), torch.arange(3))
    assert ((free - wanted) * sign < -1).all()


def ramp(count: int = 4) -> Tensor:
    return torch.arange(count * 72, dtype=torch.float32).view(count, 2, 6, 6)


def test_a_view_without_crop_flip_and_roll_is_the_image() -> None:
    assert torch.equal(Optimize(**STILL).draw_view(ramp(), INFO, make_generator(0)), ramp())


def test_roll_is_circular_and_reaches_both_ends_of_its_range_on_both_axes() -> None:
    part, rng = replace(Optimize(**STILL), roll=(-1, 2)), make_generator(1)
    seen = set()
    for _ in range(200):
        view = part.draw_view(ramp(), INFO, rng)
        found = [
            (down, right)
            for down in range(-3, 4)
            for right in range(-3, 3)
            if torch.equal(view, ramp().roll((down, right), (2, 3)))
        ]
        seen.update(found)
    assert seen == {(down, right) for down in range(-1, 3) for right in range(-1, 3)}


def test_flip_mirrors_about_half_of_the_views_and_none_where_the_data_set_forbids() -> None:
    part, rng = replace(Optimize(**STILL), flip=True), make_generator(2)
    views = [part.draw_view(ramp(), INFO, rng) for _ in range(200)]
    mirrored = sum(torch.equal(view, ramp().flip(3)) for view in views)
    assert 70 < mirrored < 130
    assert mirrored + sum(torch.equal(view, ramp()) for view in views) == 200
    upright = replace(INFO, mirror=False)
    assert all(torch.equal(part.draw_view(ramp(), upright, rng), ramp()) for _ in range(20))


@pytest.mark.parametrize("area", [0.25, 1.0])
def test_crop_keeps_the_area_that_is_asked_for(area: float) -> None:
    """A quarter of the area at ratio 1: the slope of a ramp is halved."""
    part = replace(Optimize(**STILL), crop=(area, area), ratio=(1.0, 1.0))
    image = torch.arange(6.0).expand(1, 2, 6, 6)
    view = part.draw_view(image, INFO, make_generator(3))
    middle = view[0, 0, 0, 3] - view[0, 0, 0, 2]
    assert float(middle) == pytest.approx(math.sqrt(area))


def test_a_batch_shares_its_view_unless_every_image_has_its_own() -> None:
    same = ramp(1).expand(8, -1, -1, -1)
    shared = Optimize(roll=(0, 0)).draw_view(same, INFO, make_generator(4))
    assert all(torch.equal(view, shared[0]) for view in shared)
    own = Optimize(roll=(0, 0), per_image=True).draw_view(same, INFO, make_generator(4))
    assert len({tuple(view.flatten().tolist()) for view in own}) > 4


def test_the_gradient_goes_back_through_the_view() -> None:
    """A pixel outside the crop does not move."""
    part = Optimize(iterations=1, crop=(0.25, 0.25), ratio=(1.0, 1.0), flip=False, roll=(0, 0),
                    clamp=False)  # fmt: skip
    problem = Toy(classes(1), total)
    before = part._start_images(problem, torch.arange(1), problem.rng("group", 0))
    moved = part.recover(problem, torch.arange(1)) != before
    assert moved.sum() == 2 * 9


def test_real_start_takes_different_images_of_the_right_class() -> None:
    labels = classes(4, 0, 9)
    problem = Toy(labels, total)
    part = Optimize(init="real", iterations=1, lr=0.0, **STILL)
    made = part.recover(problem, torch.arange(13))
    low, high = problem.pixel_range()
    levels = ((made - low) / (high - low) * 27).round()[:, 0, 0, 0].long().tolist()
    assert len(set(levels)) == 13
    assert [level % 3 for level in levels] == labels.tolist()


@pytest.mark.parametrize("same_views", [False, True])
def test_groups_that_share_a_class_start_from_different_real_images(same_views: bool) -> None:
    """With equal views they would stay the same images."""
    problem = Toy(classes(4, 9), total)
    part = Optimize(init="real", iterations=1, lr=0.0, batch_size=2, same_views=same_views, **STILL)
    groups = part.batches(problem.labels)
    made = torch.cat([part.recover(problem, group) for group in groups])
    assert max(map(len, groups)) == 2
    assert len({tuple(image.flatten().tolist()) for image in made}) == 13
    together = replace(part, batch_size=100, same_views=True).recover(problem, torch.arange(13))
    assert torch.equal(made, together) or not same_views


def test_noise_is_standard_normal_in_normalised_pixels() -> None:
    problem = Toy(classes(99, 99, 99), total)
    start = Optimize()._start_images(problem, torch.arange(297), make_generator(0))
    assert abs(float(start.mean())) < 0.03
    assert float(start.std()) == pytest.approx(1, abs=0.03)


COUNTS = st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(any)


@settings(max_examples=100, deadline=None)
@given(counts=COUNTS, size=st.integers(1, 20), layout=st.sampled_from(["classes", "spread"]))
def test_groups_divide_any_counts(counts: list[int], size: int, layout: Any) -> None:
    labels = classes(*counts)
    groups = Optimize(batch_size=size, layout=layout).batches(labels)
    assert sorted(torch.cat(groups).tolist()) == list(range(len(labels)))
    assert all(0 < len(group) <= size for group in groups)


@settings(max_examples=100, deadline=None)
@given(counts=COUNTS, size=st.integers(1, 20))
def test_classes_stay_together_while_they_fit(counts: list[int], size: int) -> None:
    labels = classes(*counts)
    where = [set(labels[group].tolist()) for group in Optimize(batch_size=size).batches(labels)]
    for cls, count in enumerate(counts):
        holders = sum(cls in found for found in where)
        assert holders == math.ceil(count / size)


def test_spread_gives_each_class_one_image_a_round() -> None:
    groups = Optimize(layout="spread", batch_size=3).batches(classes(2, 2, 2))
    assert [group.tolist() for group in groups] == [[0, 2, 4], [1, 3, 5]]
    groups = Optimize(layout="spread", batch_size=4).batches(classes(3, 1, 2))
    assert [group.tolist() for group in groups] == [[0, 3, 4, 1], [5, 2]]


def test_order_of_the_labels_does_not_matter() -> None:
    mixed = torch.tensor([2, 0, 1, 0, 2, 2])
    groups = Optimize(batch_size=3).batches(mixed)
    assert [mixed[group].tolist() for group in groups] == [[0, 0, 1], [2, 2, 2]]


def towards(images: Tensor, indices: Tensor) -> Tensor:
    """A loss without a term between images."""
    goals = torch.linspace(-1, 1, 20)[indices].view(-1, 1, 1, 1)
    return (images - goals).square().sum() + (images.flatten(1).norm(dim=1) / 10).sum()


@pytest.mark.parametrize("layout", ["classes", "spread"])
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_a_loss_of_single_images_gives_the_same_images_whatever_the_batch(
    size: int, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = classes(3, 1, 5)

    def start(self: Optimize, problem: Any, indices: Tensor, rng: torch.Generator) -> Tensor:
        return torch.stack(
            [torch.randn(INFO.shape, generator=make_generator(int(i))) for i in indices]
        )

    monkeypatch.setattr(Optimize, "_start_images", start)

    def made(part: Optimize) -> Tensor:
        found = torch.empty(len(labels), *INFO.shape)
        for group in part.batches(labels):
            found[group] = part.recover(Toy(labels, towards), group)
        return found

    part = Optimize(iterations=20, **STILL)
    whole = made(replace(part, batch_size=9))
    torch.testing.assert_close(made(replace(part, batch_size=size, layout=layout)), whole)
    assert towards(whole, torch.arange(9)) < 0.5 * towards(
        torch.stack([torch.randn(INFO.shape, generator=make_generator(i)) for i in range(9)]),
        torch.arange(9),
    )


def test_a_group_is_the_same_alone_and_after_others() -> None:
    """What resuming rests on: its draws come from its own generator."""
    part = Optimize(iterations=4, batch_size=2)
    labels = classes(2, 2, 2)
    first, second = part.batches(labels)[:2]
    problem = Toy(labels, towards)
    part.recover(problem, first)
    after = part.recover(problem, second)
    torch.manual_seed(5)
    assert torch.equal(part.recover(Toy(labels, towards), second), after)
    other = Toy(labels, towards)
    other.seed = 1
    assert not torch.equal(part.recover(other, second), after)


@pytest.mark.parametrize(
    ("option", "value"),
    [("iterations", 0), ("batch_size", 0), ("lr", -0.1), ("crop", (0.5, 1.5)), ("roll", (3, 1))],
)
def test_options_out_of_range_are_refused(option: str, value: Any) -> None:
    with pytest.raises(DDBenchError, match=f"{option} is"):
        Optimize(**{option: value})


def test_hooks_name_the_parts() -> None:
    parts = {**optimize.ddbench_distillers(), **select.ddbench_distillers()}
    assert parts == {
        "optimize": Optimize(), "random_selection": RandomSelection(), "whole_set": WholeSet(),
    }  # fmt: skip
    assert {name: part.makes for name, part in parts.items()} == {
        "optimize": "pixels", "random_selection": "indices", "whole_set": "indices",
    }  # fmt: skip
