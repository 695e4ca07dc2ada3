"""One's own folders: splits, resolution, and what is said when wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench_plugins.datasets._class_folders import scan, sort_files
from ddbench_plugins.datasets.folder import ImageFolder, find_side, hold_out
from tests.doubles.image_files import draw, lay_out, read_all


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_folder_with_splits(test: str, tmp_path: Path):
    lay_out(tmp_path, ["b", "a", "C"], {"train": 4, test: 2}, size=(12, 10))
    part = ImageFolder(path=str(tmp_path))
    info = part.info(None)
    assert info.classes == ("C", "a", "b")
    assert info.name == f"folder:{tmp_path}"
    assert (info.shape, info.train_counts, info.test_counts) == ((3, 10, 10), (4,) * 3, (2,) * 3)
    images, labels = read_all(part, "test", None)
    assert images.shape == (6, 3, 10, 10)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert part.verify(None) == []
    assert part.prepare(None) == ["12 training and 6 test images (folders of their own)"]


def test_folder_without_splits_holds_out_a_fifth(tmp_path: Path):
    lay_out(tmp_path, ["cat", "dog"], {".": 20})
    draw(tmp_path / "emu/a.png", 1001)
    draw(tmp_path / "emu/b.png", 1002)
    part = ImageFolder(str(tmp_path))
    info = part.info(None)
    assert (info.train_counts, info.test_counts) == ((16, 16, 1), (4, 4, 1))
    assert part.prepare(None) == ["33 training and 9 test images (a fifth of each class)"]
    train, test = read_all(part, "train", None)[0], read_all(part, "test", None)[0]
    assert len({bytes(row) for row in torch.cat([train, test]).flatten(1).numpy()}) == 42
    assert torch.equal(read_all(part, "test", None)[0], test)
    assert part.info(None) == info


def test_folder_split_depends_on_names_alone():
    names = tuple(f"{index}.png" for index in range(50))
    first = hold_out(sort_files(Path("a"), [(name, 1) for name in names]))
    other = hold_out(sort_files(Path("b"), [(name, 2) for name in names[::-1]]))
    assert first[1].names == other[1].names
    assert set(first[0].names) | set(first[1].names) == set(names)
    assert len(first[1].names) == 10
    assert list(first[1].names) == sorted(first[1].names)
    assert sum(int(name[0]) for name in first[1].names) != sum(range(10))  # not every fifth


def test_folder_with_train_alone_is_split(tmp_path: Path):
    lay_out(tmp_path, ["cat", "dog"], {"train": 10})
    assert ImageFolder(str(tmp_path)).info(None).test_counts == (2, 2)


@pytest.mark.parametrize(
    ("sizes", "own"),
    [
        ([(8, 8)] * 10, 8),
        ([(8, 9)] * 6 + [(20, 30)] * 4, 8),
        ([(300, 400)] * 4, 224),
    ],
)
def test_folder_resolution(sizes: list[tuple[int, int]], own: int, tmp_path: Path):
    for name in ("a", "b"):
        for index, size in enumerate(sizes):
            draw(tmp_path / name / f"{index}.png", index, size=size)
    part = ImageFolder(str(tmp_path))
    assert part.info(None).shape == (3, own, own)
    assert next(part.read("train", None))[0].shape[2:] == (own, own)
    other = ImageFolder(str(tmp_path), resolution=5)
    assert other.info(None).name == f"folder:{tmp_path}@5"
    assert next(other.read("train", None))[0].shape[2:] == (5, 5)


def test_folder_resolution_of_equally_common_sizes_is_the_least(tmp_path: Path):
    for index, size in enumerate([(11, 11), (9, 12), (11, 30), (12, 9)]):
        draw(tmp_path / "a" / f"{index}.png", index, size=size)
    (tmp_path / "a" / "damaged.png").write_text("no image")
    assert find_side(scan(tmp_path)) == 9


def test_folder_of_grey_images_is_rgb(tmp_path: Path):
    lay_out(tmp_path, ["a", "b"], {".": 5}, mode="L")
    images, _ = read_all(ImageFolder(str(tmp_path)), "train", None)
    assert images.shape == (8, 3, 8, 8)
    assert torch.equal(images[:, 0], images[:, 2])


def test_folder_says_what_is_wrong(tmp_path: Path):
    def problem(path: Path) -> str:
        with pytest.raises(DDBenchError) as caught:
            ImageFolder(str(path)).info(None)
        assert caught.value.hint
        return str(caught.value)

    assert "is not there" in problem(tmp_path / "absent")
    (tmp_path / "bare").mkdir()
    assert "is empty" in problem(tmp_path / "bare")
    lay_out(tmp_path / "one", ["cat"], {".": 5})
    assert "has one class, 'cat'" in problem(tmp_path / "one")
    lay_out(tmp_path / "single", ["cat", "dog"], {".": 1})
    assert "classes of one image" in problem(tmp_path / "single")
    lay_out(tmp_path / "hollow", ["cat", "dog"], {".": 5})
    (tmp_path / "hollow" / "emu").mkdir()
    (tmp_path / "hollow" / "emu" / "readme.txt").write_text("")
    assert "no images: emu" in problem(tmp_path / "hollow")
    lay_out(tmp_path / "torn", ["cat", "dog"], {"train": 2})
    lay_out(tmp_path / "torn", ["dog", "emu"], {"val": 2})
    torn = problem(tmp_path / "torn")
    assert "to train only: cat" in torn
    assert "to test only: emu" in torn
    for name in ("a", "b"):
        for index in range(3):
            path = tmp_path / "text" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no image")
    assert "cannot read any image" in problem(tmp_path / "text")


def test_folder_without_a_path():
    with pytest.raises(DDBenchError, match="is not there"):
        ImageFolder().info(None)
