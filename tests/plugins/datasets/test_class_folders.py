"""Class folders: what counts as an image, fingerprints, damaged files, folders that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbench.api.errors import DDBenchError
from ddbench_plugins.datasets.folder import ImageFolder
from ddbench_plugins.datasets.imagenet import IMAGENETTE_TITLES, Imagenette
from tests.doubles.image_files import draw, lay_out, read_all

WNIDS = tuple(IMAGENETTE_TITLES)


def test_fingerprint_changes_with_a_file(nette: Path):
    def now() -> str:
        return Imagenette().info(nette).fingerprint

    seen = [now()]
    assert now() == seen[0]
    file = nette / "imagenette/train" / WNIDS[0] / "000.JPEG"
    file.write_bytes(file.read_bytes() + b"\0")
    seen.append(now())
    file.rename(file.with_name("zzz.JPEG"))
    seen.append(now())
    draw(file, seed=999)
    seen.append(now())
    (nette / "imagenette/val" / WNIDS[9] / "000.JPEG").unlink()
    seen.append(now())
    assert len(set(seen)) == len(seen)
    (nette / "imagenette/val" / WNIDS[9] / "notes.txt").write_text("no image")
    (nette / "imagenette/val" / WNIDS[9] / "._001.JPEG").write_text("hidden")
    assert now() == seen[-1]


def test_other_folders_than_the_ten_wnids_are_named(nette: Path):
    train = nette / "imagenette/train"
    (train / WNIDS[2]).rename(train / "n00000001")
    with pytest.raises(DDBenchError) as caught:
        Imagenette().info(nette)
    assert f"missing: {WNIDS[2]}" in str(caught.value)
    assert "not expected: n00000001" in str(caught.value)
    assert "train" in caught.value.problem


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_damaged_image_is_named_when_read(damage: str, nette: Path):
    file = nette / "imagenette/train" / WNIDS[3] / "001.JPEG"
    raw = file.read_bytes()
    file.write_bytes({"truncated": raw[: len(raw) // 2], "text": b"<html>", "empty": b""}[damage])
    Imagenette(resolution=16).info(nette)
    with pytest.raises(DDBenchError) as caught:
        read_all(Imagenette(resolution=16), "train", nette)
    assert caught.value.problem == f"cannot decode image 'train/{WNIDS[3]}/001.JPEG'"
    assert caught.value.hint == "remove or replace the file"


def test_folder_finds_images_in_folders_within_classes(tmp_path: Path):
    for index in range(5):
        draw(tmp_path / "a" / f"day{index}" / "x.JPG", index)
        draw(tmp_path / "b" / f"{index}.webp", index)
    info = ImageFolder(str(tmp_path)).info(None)
    assert info.train_counts == (4, 4)


def test_folder_names_a_damaged_image_when_read(tmp_path: Path):
    lay_out(tmp_path, ["a", "b"], {"train": 2, "val": 1})
    (tmp_path / "train/b/001.png").write_bytes(b"\x89PNG")
    part = ImageFolder(str(tmp_path))
    assert part.info(None).train_counts == (2, 2)
    with pytest.raises(DDBenchError, match=r"cannot decode image 'train/b/001\.png'"):
        read_all(part, "train", None)
    assert len(part.verify(None)) == 1
