"""Crops, flips and mixes against torchvision and against slicing image by image."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import resized_crop

from ddbench.api.augment import crop_all, draw_boxes, draw_flips, draw_mix, resample
from ddbench.runtime.seeds import make_generator

RATIO = (3 / 4, 4 / 3)


def test_resample_equals_cropping_resizing_and_flipping_each_image():
    images = torch.randn(12, 3, 20, 16, dtype=torch.float64)
    rng = make_generator(0)
    boxes = draw_boxes(12, (20, 16), (0.08, 1.0), RATIO, rng)
    flips = draw_flips(12, True, rng)
    made = resample(images, boxes, flips)
    for i, (top, left, h, w) in enumerate(boxes.tolist()):
        one = images[i : i + 1, :, top : top + h, left : left + w]
        one = F.interpolate(one, (20, 16), mode="bilinear", align_corners=False)
        torch.testing.assert_close(made[i : i + 1], one.flip(3) if flips[i] else one)


def test_crop_all_equals_torchvision():
    images = torch.rand(4, 3, 32, 32)
    box = torch.tensor([3, 5, 20, 17])
    expected = resized_crop(images, 3, 5, 20, 17, [32, 32], antialias=True)
    torch.testing.assert_close(crop_all(images, box, False), expected)
    torch.testing.assert_close(crop_all(images, box, True), expected.flip(3))


def test_boxes_stay_inside_and_keep_area_and_ratio():
    boxes = draw_boxes(5000, (64, 64), (0.08, 1.0), RATIO, make_generator(1))
    top, left, h, w = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + h <= 64).all()
    assert (left + w <= 64).all()
    area = (h * w) / 64**2
    assert 0.07 < area.min() < 0.10
    assert area.max() <= 1
    # Area is uniform before boxes that do not fit are drawn again, which thins out large ones.
    assert 0.45 < area.mean() < 0.56
    ratio = w / h
    assert ratio.min() > 0.70
    assert ratio.max() < 1.42
    assert abs(ratio.log().mean()) < 0.02


def test_a_crop_of_the_whole_area_is_the_image():
    images = torch.rand(3, 1, 8, 8)
    boxes = draw_boxes(3, (8, 8), (1.0, 1.0), (1.0, 1.0), make_generator(0))
    assert boxes.tolist() == [[0, 0, 8, 8]] * 3
    torch.testing.assert_close(resample(images, boxes, torch.zeros(3, dtype=torch.bool)), images)


@pytest.mark.parametrize("size", [(32, 64), (7, 13), (1, 5)])
def test_a_crop_of_the_whole_area_is_the_image_of_any_shape(size):
    boxes = draw_boxes(50, size, (1.0, 1.0), (3 / 4, 4 / 3), make_generator(0))
    assert boxes.tolist() == [[0, 0, *size]] * 50


def test_flip_twice_is_the_image():
    images = torch.rand(2, 3, 9, 9)
    whole = torch.tensor([[0, 0, 9, 9]] * 2)
    yes = torch.ones(2, dtype=torch.bool)
    torch.testing.assert_close(resample(resample(images, whole, yes), whole, yes), images)


def test_cutmix_share_is_the_area_that_is_really_kept():
    images = torch.stack([torch.full((1, 32, 32), float(i)) for i in range(6)])
    for seed in range(40):
        mix = draw_mix("cutmix", 1.0, 6, (32, 32), seed)
        mixed = mix.apply(images)
        for i in range(6):
            if mix.partners[i] != i:
                own = (mixed[i] == float(i)).float().mean().item()
                assert own == pytest.approx(mix.share)


def test_cutmix_pastes_what_a_uniform_lambda_and_clipping_at_the_border_give():
    shares = [draw_mix("cutmix", 1.0, 4, (224, 224), seed).share for seed in range(4000)]
    # With u = sqrt(1 - lambda) of density 2u, an axis keeps u - u^2/4 of a uniformly placed box:
    # the expected part covered is 2 (1/4 - 1/10 + 1/96).
    assert sum(shares) / len(shares) == pytest.approx(1 - 2 * (1 / 4 - 1 / 10 + 1 / 96), abs=0.015)


def test_mixup_is_a_weighted_sum():
    images = torch.rand(5, 3, 4, 4)
    mix = draw_mix("mixup", 0.8, 5, (4, 4), 3)
    expected = mix.share * images + (1 - mix.share) * images[mix.partners]
    torch.testing.assert_close(mix.apply(images), expected)


def test_no_mix_leaves_images_and_labels_alone():
    mix = draw_mix("none", 1.0, 5, (4, 4), 3)
    assert mix.share == 1
    assert mix.partners.tolist() == [0, 1, 2, 3, 4]


def test_draws_depend_on_the_generator_alone():
    again = [draw_boxes(7, (9, 9), (0.2, 1.0), RATIO, make_generator(4, "x")) for _ in range(2)]
    assert torch.equal(*again)
    assert math.isclose(
        draw_mix("cutmix", 1.0, 4, (9, 9), 5).share, draw_mix("cutmix", 1.0, 4, (9, 9), 5).share
    )
