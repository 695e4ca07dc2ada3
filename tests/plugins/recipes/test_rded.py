"""RDED: tiles by the size of the images, and the scripts' numbers of images and crops."""

from __future__ import annotations

import pytest

from ddbench.testing import tiny_info
from ddbench_plugins.recipes.rded import rded


@pytest.mark.parametrize(("pixels", "factor"), [(32, 1), (64, 1), (128, 2), (224, 2)])
def test_two_tiles_a_side_from_128_pixels_on(pixels, factor):
    part = rded(tiny_info(pixels=pixels), 10).distiller
    assert (part.factor, part.candidates, part.crops) == (factor, 300, 5)
    assert part == rded(tiny_info(pixels=pixels), 1).distiller
