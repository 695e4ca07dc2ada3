"""Partition and expansion: tiles of one image as images of their own, and back."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ddbench.api.errors import DDBenchError
from ddbench.runtime.seeds import make_generator
from ddbench.testing import tiny_info
from ddbench_plugins.distillers._tiles import (
    check_divisible,
    cut_tiles,
    expand_tiles,
    shrink_tiles,
    tile,
)


def noise(count: int, size: int = 12) -> torch.Tensor:
    return torch.randn(
        count, 3, size, size, generator=make_generator(0, "noise"), dtype=torch.float64
    )


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_partition_undoes_tiling_and_the_other_way_round(factor):
    patches = noise(2 * factor**2, 4)
    images = tile(patches, factor)
    assert images.shape == (2, 3, 4 * factor, 4 * factor)
    assert torch.equal(cut_tiles(images, factor), patches)
    assert torch.equal(tile(cut_tiles(noise(5), factor), factor), noise(5))


def test_tiles_are_counted_row_by_row_and_image_by_image():
    images = torch.arange(2.0).view(2, 1, 1, 1) * 10 + torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert cut_tiles(images, 2).flatten().tolist() == [0, 10, 1, 11, 2, 12, 3, 13]


def test_four_constant_colours_become_four_constant_images():
    colours = torch.tensor([0.1, 0.7, -0.4, 2.0], dtype=torch.float64)
    image = tile(colours.view(4, 1, 1, 1).expand(4, 3, 6, 6), 2)
    shown = expand_tiles(image, 2)
    assert shown.shape == (4, 3, 12, 12)
    torch.testing.assert_close(shown, colours.view(4, 1, 1, 1).expand(4, 3, 12, 12))
    torch.testing.assert_close(shrink_tiles(shown, 2), image)


def test_enlarging_is_that_of_each_tile_alone():
    images = noise(3)
    quarter = images[1:2, :, 6:, :6]  # tile 2 of image 1
    wanted = F.interpolate(quarter, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(expand_tiles(images, 2)[2 * 3 + 1], wanted[0])


def test_a_ramp_comes_back_but_for_its_ends():
    ramp = torch.arange(12.0, dtype=torch.float64).expand(1, 1, 12, 12)
    four = ramp.repeat(4, 1, 1, 1)
    back = expand_tiles(shrink_tiles(four, 2), 2)
    torch.testing.assert_close(back[..., 1:-1], four[..., 1:-1])


def test_a_factor_of_one_is_the_images_themselves():
    images = noise(2)
    assert expand_tiles(images, 1) is images
    assert torch.equal(shrink_tiles(images, 1), images)


def test_expansion_and_shrinking_are_derived_right():
    assert torch.autograd.gradcheck(
        lambda x: expand_tiles(x, 2), (noise(2, 4).requires_grad_(True),)
    )
    assert torch.autograd.gradcheck(
        lambda x: shrink_tiles(x, 2), (noise(4, 4).requires_grad_(True),)
    )


def test_tiles_of_unequal_size_are_refused():
    check_divisible(tiny_info(pixels=8), 2)
    with pytest.raises(DDBenchError, match="factor 3 does not divide images of 8 x 8 pixels"):
        check_divisible(tiny_info(pixels=8), 3)
