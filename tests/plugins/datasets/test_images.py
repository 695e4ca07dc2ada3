"""Images: scaling, modes, and what every data set says where its images are missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench_plugins.datasets import cifar, digits, fashion_mnist, folder, imagenet, tiny_imagenet
from ddbench_plugins.datasets._images import Frame, decode, fit
from ddbench_plugins.datasets.digits import Digits
from ddbench_plugins.datasets.imagenet import frame_photographs

READY: Mapping[str, Dataset] = {
    name: part
    for module in (cifar, digits, fashion_mnist, folder, imagenet, tiny_imagenet)
    for name, part in module.ddbench_datasets().items()
}


def test_ready_parts_are_data_sets():
    assert set(READY) == {
        *("cifar10", "cifar100", "digits", "fashion_mnist", "folder"),
        *("imagenet1k", "imagenette", "tiny_imagenet"),
    }
    assert all(isinstance(part, Dataset) and part.resolution == 0 for part in READY.values())


@pytest.mark.parametrize(
    "name", ["cifar10", "cifar100", "imagenet1k", "imagenette", "tiny_imagenet"]
)
@pytest.mark.parametrize("given", [False, True])
def test_absent_data_says_what_is_expected(name: str, given: bool, tmp_path: Path):
    root = tmp_path if given else None
    for ask in (READY[name].info, lambda root: READY[name].read("train", root)):
        with pytest.raises(DDBenchError) as caught:
            ask(root)
        assert caught.value.problem == f"data set '{name}' needs its images"
        assert str(tmp_path) in str(caught.value) or not given
        assert "expected: " in str(caught.value)
        assert "DDBENCH_DATA=DIR" in caught.value.hint
    with pytest.raises(DDBenchError, match="needs its images"):
        READY[name].prepare(root, download=False)


def test_resolution_below_0_is_refused():
    with pytest.raises(DDBenchError, match="resolution is -1"):
        Digits(resolution=-1).info(None)


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(300, 261), (261, 400), (500, 500), (225, 224)])
def test_photographs_equal_torchvisions_resize_and_crop(size: tuple[int, int]):
    from torchvision.transforms import CenterCrop, Resize

    image = noise(*size)
    ours = np.asarray(fit(image, frame_photographs(224)))
    theirs = np.asarray(CenterCrop(224)(Resize(256)(image)))
    np.testing.assert_array_equal(ours, theirs)


def test_square_photographs_are_scaled_whole():
    image = noise(224, 224)
    assert fit(image, frame_photographs(224)).tobytes() == image.tobytes()
    boxes = np.asarray(image, dtype=float).reshape(56, 4, 56, 4, 3).mean((1, 3))
    np.testing.assert_allclose(np.asarray(fit(image, frame_photographs(56))), boxes, atol=1.01)


@pytest.mark.parametrize("size", [(5, 9), (9, 5), (64, 7), (1, 1), (33, 32)])
@pytest.mark.parametrize("resolution", [1, 8, 31])
def test_everything_becomes_a_square(size: tuple[int, int], resolution: int):
    for frame in (Frame(resolution), frame_photographs(resolution)):
        assert fit(noise(*size), frame).size == (resolution, resolution)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_images_of_every_mode_become_rgb(mode: str, tmp_path: Path):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    noise(8, 8).convert("RGBA").convert("L" if mode == "LA" else "RGB").convert(mode).save(path)
    assert decode(path, "a", Frame(8)).shape == (3, 8, 8)


def test_16_bits_are_refused_rather_than_clipped(tmp_path: Path):
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(DDBenchError, match=r"'a\.png' has pixels of mode I;16") as caught:
        decode(tmp_path / "a.png", "a.png", Frame(8))
    assert "8 bits" in caught.value.hint


def test_draft_decoding_of_a_large_jpeg_is_close_to_the_full_one(tmp_path: Path):
    wave = np.sin(np.arange(512) / 40)[:, None] * np.cos(np.arange(512) / 60)[None]
    pixels = (127 + 120 * wave[..., None].repeat(3, 2)).astype(np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.jpg", quality=95)
    drafted = decode(tmp_path / "a.jpg", "a", Frame(32)).transpose(1, 2, 0).astype(float)
    assert np.abs(drafted - np.asarray(fit(image, Frame(32)))).max() < 4
