"""Distilled images as bytes, as files in class folders, and as one picture."""

from __future__ import annotations

import pytest
import torch

from ddbench.reporting.images import draw_grid, load_images, to_bytes, write_class_folders
from tests.doubles.records import record


def test_pixels_are_rounded_to_bytes_and_bytes_stay():
    pixels = torch.tensor([-0.5, 0.0, 0.5, 0.999, 2.0]).view(1, 1, 1, 5)
    assert to_bytes(pixels).flatten().tolist() == [0, 0, 128, 255, 255]
    levels = to_bytes(pixels)
    assert to_bytes(levels) is levels


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_image_is_a_file_in_the_folder_of_its_class(tmp_path):
    from torchvision.io import read_image

    images = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 4, 4).contiguous()
    write_class_folders(tmp_path, images, torch.tensor([1, 0, 1]), ["a/b", "c"])
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert names == ["a_b/0000.png", "c/0000.png", "c/0001.png"]
    assert torch.equal(read_image(str(tmp_path / "c" / "0001.png")), images[2])


def test_a_row_of_the_picture_is_a_class_and_grey_becomes_coloured():
    images = torch.arange(1, 5, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 1, 4, 4) * 10
    picture = draw_grid(images, torch.tensor([0, 1, 1, 1]), columns=2, smallest=1)
    assert picture.shape == (3, 2 * 6 + 2, 2 * 6 + 2)  # two pixels of gap around each image
    assert [picture[0, y, x].item() for y, x in ((2, 2), (2, 8), (8, 2), (8, 8))] == [10, 0, 20, 30]


def test_one_image_a_class_makes_rows_of_classes_and_tiny_ones_are_enlarged():
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    picture = draw_grid(images, torch.arange(3), columns=2, smallest=8)
    assert picture.shape == (3, 2 * 10 + 2, 2 * 10 + 2)


def test_images_that_are_no_longer_stored_are_none(cache):
    assert load_images(record(), cache, None) is None
    assert load_images(record(keys={"recover": ["gone"]}), cache, None) is None
