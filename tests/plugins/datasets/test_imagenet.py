"""Imagenette and ImageNet-1K: places, order, titles, counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench_plugins.datasets import imagenet
from ddbench_plugins.datasets._images import decode
from ddbench_plugins.datasets.imagenet import (
    IMAGENETTE_TITLES,
    ImageNet1k,
    Imagenette,
    frame_photographs,
)
from tests.doubles.image_files import draw, find_real_root, read_all

WNIDS = tuple(IMAGENETTE_TITLES)


def test_imagenette(nette: Path):
    info = Imagenette(resolution=16).info(nette)
    assert (info.name, info.classes, info.shape) == ("imagenette@16", WNIDS, (3, 16, 16))
    assert (info.train_counts, info.test_counts) == ((3,) * 10, (2,) * 10)
    assert (info.titles[0], info.titles[-1]) == ("tench", "parachute")
    assert info.mean == (0.485, 0.456, 0.406)
    assert Imagenette().info(nette).name == "imagenette"
    assert Imagenette().info(nette).resolution == 224
    assert Imagenette(resolution=224).info(nette).name == "imagenette"


def test_imagenette_order_is_fixed(nette: Path):
    images, labels = read_all(Imagenette(resolution=16), "train", nette)
    again, _ = read_all(Imagenette(resolution=16), "train", nette)
    assert torch.equal(images, again)
    assert labels.tolist() == [i // 3 for i in range(30)]
    path = nette / "imagenette/train" / WNIDS[1] / "002.JPEG"
    np.testing.assert_array_equal(images[5], decode(path, "", frame_photographs(16)))


@pytest.mark.parametrize("place", ["imagenette2", "imagenette2-320", "imagenette2-160", "."])
def test_imagenette_in_other_places(place: str, nette: Path, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(nette / "imagenette", other / place, dirs_exist_ok=True)
    assert Imagenette().info(other) == Imagenette().info(nette)


def test_imagenette_verify_counts_and_decodes(nette: Path):
    file = nette / "imagenette/val" / WNIDS[0] / "000.JPEG"
    file.write_bytes(file.read_bytes()[:200])
    found = Imagenette(resolution=16).verify(nette)
    assert f"class '{WNIDS[0]}' has 3 training images, expected 963" in found
    assert any(f"cannot decode image 'val/{WNIDS[0]}/000.JPEG'" in line for line in found)
    assert len(found) == 21


def test_real_imagenette():
    root = find_real_root("imagenette")
    part = Imagenette(resolution=64)
    assert part.verify(root) == []
    info = part.info(root)
    assert (sum(info.train_counts), sum(info.test_counts)) == (9469, 3925)
    images, labels = next(part.read("test", root))
    assert images.shape == (256, 3, 64, 64)
    assert labels.unique().tolist() == [0]
    pixels = images.float() / 255
    assert 0.2 < pixels.mean() < 0.7
    assert pixels.std() > 0.1


def test_imagenet1k(tmp_path: Path):
    wnids = list(imagenet.list_titles())
    assert len(wnids) == 1000
    assert wnids == sorted(wnids)
    assert [wnids.index(wnid) for wnid in WNIDS[:3]] == [0, 217, 482]
    source = tmp_path / "one.JPEG"
    draw(source, 0)
    for split in ("train", "val"):
        for wnid in wnids:
            (tmp_path / "imagenet" / split / wnid).mkdir(parents=True)
            shutil.copy(source, tmp_path / "imagenet" / split / wnid / f"{split}.JPEG")
    info = ImageNet1k().info(tmp_path)
    assert (info.num_classes, info.shape, info.titles[217]) == (
        1000,
        (3, 224, 224),
        "English springer",
    )
    images, labels = next(ImageNet1k(resolution=8).read("test", tmp_path))
    assert images.shape == (256, 3, 8, 8)
    assert labels.tolist() == list(range(256))
    assert "1,000 training images, expected 1,281,167" in ImageNet1k(resolution=8).verify(tmp_path)
    shutil.rmtree(tmp_path / "imagenet/val" / wnids[7])
    with pytest.raises(DDBenchError, match="other classes in its test folder") as caught:
        ImageNet1k().info(tmp_path)
    assert f"missing: {wnids[7]}" in str(caught.value)
