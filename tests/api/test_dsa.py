"""Differentiable augmentations: what each does, and what two batches share under one draw."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.api.dsa import OPERATIONS, Drawn, draw, parse_strategy
from ddbench.api.errors import DDBenchError
from ddbench.runtime.seeds import make_generator

ALL = "_".join(OPERATIONS)


def noise(count: int = 5, size: int = 8, channels: int = 3) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=make_generator(0, "noise")).double()


def drawn(name: str, *numbers: float) -> Drawn:
    row = [*numbers, *(0.5,) * (3 - len(numbers))]
    return Drawn(name, torch.tensor([row], dtype=torch.float64))


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_draw_treats_batches_of_any_size_alike(name):
    images = noise()
    shared = Drawn(name, torch.rand(1, 3, generator=make_generator(1, name)))
    whole, part = shared.apply(images), shared.apply(images[2:4])
    torch.testing.assert_close(whole[2:4], part)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("rows", [1, 5])
def test_no_number_is_asked_back_from_the_device(name, rows):
    """A GPU would have to be waited for; a tensor without numbers has none to tell."""
    shown = Drawn(name, torch.rand(rows, 3)).apply(noise().to("meta"))
    assert shown.shape == noise().shape


@pytest.mark.parametrize("name", OPERATIONS)
def test_own_parameters_are_those_that_an_image_gets_alone(name):
    images, numbers = noise(), torch.rand(5, 3, generator=make_generator(1, name))
    together = Drawn(name, numbers).apply(images)
    alone = [Drawn(name, numbers[i : i + 1]).apply(images[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_are_those_of_finite_differences(name):
    one = Drawn(name, torch.rand(2, 3, generator=make_generator(2, name)))
    images = noise(2, 5).requires_grad_(True)
    assert torch.autograd.gradcheck(one.apply, (images,))


@pytest.mark.parametrize("name", ["color", "crop", "scale", "rotate"])
def test_the_middle_of_a_draw_changes_nothing(name):
    middle = 0.5
    if name == "scale":  # the factor 1 of a uniform 1/1.2 to 1.2
        middle = (1 - 1 / 1.2) / (1.2 - 1 / 1.2)
    images = noise(size=32)
    torch.testing.assert_close(drawn(name, middle, middle).apply(images), images)


def test_a_flip_undoes_itself_and_happens_to_half():
    images = noise()
    assert torch.equal(drawn("flip", 0.2).apply(images), images.flip(3))
    assert torch.equal(drawn("flip", 0.2).apply(drawn("flip", 0.2).apply(images)), images)
    assert torch.equal(drawn("flip", 0.7).apply(images), images)


def test_a_crop_moves_by_an_eighth_at_most_and_fills_with_zeros():
    images = noise(size=32)
    moved = drawn("crop", 0.0, 0.999).apply(images)  # 4 up, 4 right
    assert torch.equal(moved[:, :, 4:, :-4], images[:, :, :-4, 4:])
    assert not moved[:, :, :4].any()
    assert not moved[:, :, :, -4:].any()


def test_a_hole_is_half_as_wide_as_the_image_and_clipped_at_its_border():
    images = torch.ones(1, 3, 32, 32)
    inside, corner = drawn("cutout", 0.5, 0.5), drawn("cutout", 0.0, 0.0)
    assert (inside.apply(images) == 0).sum() == 3 * 16 * 16
    assert (corner.apply(images) == 0).sum() == 3 * 8 * 8


def test_color_follows_its_three_formulas():
    images, (a, b, c) = noise(2), (0.9, 0.1, 0.3)
    bright = images + (a - 0.5)
    gray = bright.mean(1, keepdim=True)
    saturated = (bright - gray) * (2 * b) + gray
    mean = saturated.flatten(1).mean(1).view(-1, 1, 1, 1)
    wanted = (saturated - mean) * (c + 0.5) + mean
    torch.testing.assert_close(drawn("color", a, b, c).apply(images), wanted)


def test_a_rotation_turns_a_point_by_its_angle():
    images = torch.zeros(1, 1, 65, 65)
    images[0, 0, 31:34, 61:64] = 1  # at the right
    turned = drawn("rotate", 1.0).apply(images)[0, 0]  # 15 degrees
    y, x = (turned * torch.arange(65.0)[:, None]).sum(), (turned * torch.arange(65.0)).sum()
    angle = torch.atan2((y / turned.sum() - 32).abs(), x / turned.sum() - 32)
    assert angle.rad2deg() == pytest.approx(15, abs=0.3)


def test_operations_are_drawn_alike_often_and_flips_only_where_allowed():
    names = parse_strategy(ALL)
    seen = [draw(names, 1, make_generator(0, i)).operation for i in range(600)]
    assert set(seen) == set(OPERATIONS)
    assert min(seen.count(name) for name in names) > 60
    assert "flip" not in parse_strategy(ALL, mirror=False)


def test_nothing_is_drawn_of_nothing():
    images = noise()
    assert draw(parse_strategy(""), 3, make_generator(0)).apply(images) is images


def test_an_unknown_operation_is_named():
    with pytest.raises(DDBenchError, match="no operation 'colour'") as caught:
        parse_strategy("colour_flip")
    assert caught.value.hint == "did you mean 'color'?"


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(OPERATIONS)), st.integers(3, 11), st.integers(0, 99))
def test_every_size_keeps_its_shape(name, size, seed):
    images = noise(2, size)
    for rows in (1, 2):
        made = Drawn(name, torch.rand(rows, 3, generator=make_generator(seed))).apply(images)
        assert made.shape == images.shape
        assert torch.isfinite(made).all()
