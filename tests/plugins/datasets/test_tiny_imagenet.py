"""Tiny ImageNet: either layout of the validation images, and what is said when wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench_plugins.datasets import tiny_imagenet
from ddbench_plugins.datasets._images import Frame, decode
from ddbench_plugins.datasets.tiny_imagenet import TinyImageNet
from tests.doubles.image_files import draw, read_all


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The published layout, with 1 training and 2 validation images a class."""
    base = tmp_path / "tiny-imagenet-200"
    wnids = [f"n{index:08d}" for index in range(200)]
    rng = np.random.default_rng(0)
    (base / "val/images").mkdir(parents=True)
    shuffled = rng.permutation(400)
    lines = []
    for index, wnid in enumerate(wnids):
        draw(base / f"train/{wnid}/images/{wnid}_0.JPEG", index)
        (base / f"train/{wnid}/{wnid}_boxes.txt").write_text("")
        for number in shuffled[2 * index : 2 * index + 2]:
            draw(base / f"val/images/val_{number}.JPEG", 1000 + number)
            lines.append(f"val_{number}.JPEG\t{wnid}\t0\t0\t7\t7\n")
    (base / "val/val_annotations.txt").write_text("".join(sorted(lines)))
    (base / "wnids.txt").write_text("\n".join(rng.permutation(wnids)) + "\n")
    (base / "words.txt").write_text("".join(f"{w}\tthing {w}, object\n" for w in ["n9", *wnids]))
    return tmp_path


def test_tiny_imagenet_in_either_layout_is_the_same(tiny: Path):
    part = TinyImageNet(resolution=8)
    before = sorted(tiny.rglob("*"))
    info, (images, labels) = part.info(tiny), read_all(part, "test", tiny)
    assert sorted(tiny.rglob("*")) == before  # nothing is written
    assert info.name == "tiny_imagenet@8"
    assert info.classes == tuple(sorted(info.classes))
    assert info.test_counts == (2,) * 200
    assert info.titles[3] == "thing n00000003"
    assert labels.tolist() == [i // 2 for i in range(400)]

    notes = part.prepare(tiny)
    assert "moved 400 validation images" in notes[0]
    assert list((tiny / "tiny-imagenet-200/val/images").iterdir()) == []
    assert part.info(tiny) == info
    assert torch.equal(read_all(part, "test", tiny)[0], images)
    assert "moved 0 validation images" in part.prepare(tiny)[0]

    val = tiny / "tiny-imagenet-200/val"  # as other programs order it: no folder `images`
    (val / "val_annotations.txt").unlink()
    (val / "images").rmdir()
    for wnid in info.classes:
        for file in (val / wnid / "images").iterdir():
            file.rename(val / wnid / file.name)
        (val / wnid / "images").rmdir()
    assert part.info(tiny) == info
    assert torch.equal(read_all(part, "test", tiny)[0], images)


def test_tiny_imagenet_images_carry_the_annotated_class(tiny: Path):
    part = TinyImageNet(resolution=8)
    base = tiny / "tiny-imagenet-200"
    said = tiny_imagenet.read_annotations(base / "val/val_annotations.txt")
    images, _ = read_all(part, "test", tiny)
    wnid = part.info(tiny).classes[77]
    names = sorted(name for name, of in said.items() if of == wnid)
    for row, name in enumerate(names):
        expected = decode(base / "val/images" / name, name, Frame(8))
        np.testing.assert_array_equal(images[2 * 77 + row], expected)


def test_tiny_imagenet_images_that_were_copied_count_once(tiny: Path):
    before = TinyImageNet().info(tiny)
    val = tiny / "tiny-imagenet-200/val"
    for name, wnid in tiny_imagenet.read_annotations(val / "val_annotations.txt").items():
        (val / wnid).mkdir(exist_ok=True)
        shutil.copy(val / "images" / name, val / wnid / name)
    assert TinyImageNet().info(tiny) == before


def test_tiny_imagenet_says_what_is_wrong(tiny: Path):
    base = tiny / "tiny-imagenet-200"
    found = TinyImageNet().verify(tiny)
    assert "class 'n00000000' has 1 training images, expected 500" in found
    assert "class 'n00000199' has 2 test images, expected 50" in found
    (base / "val/val_annotations.txt").unlink()
    with pytest.raises(DDBenchError, match="nothing says of which class"):
        TinyImageNet().info(tiny)
    (base / "wnids.txt").write_text("n00000000\n")
    with pytest.raises(DDBenchError, match="lists 1 classes"):
        TinyImageNet().info(tiny)


def test_tiny_imagenet_constants(tiny: Path):
    info = TinyImageNet().info(tiny)
    assert (info.name, info.shape) == ("tiny_imagenet", (3, 64, 64))
    assert info.mean == (0.4802, 0.4481, 0.3975)
    assert info.std == (0.2302, 0.2265, 0.2262)
