"""Anyone's own images: class folders at a path, split into training and test data or not."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._class_folders import (
    ClassFiles,
    FolderDataset,
    Folders,
    Split,
    match_splits,
    scan,
)
from ddbench_plugins.datasets._images import Frame, name_at

TEST_FOLDERS = ("test", "val", "valid", "validation")
LARGEST_OWN = 224
SAMPLE = 50
"""Images whose size is looked at to find the data set's own resolution."""


class ImageFolder(FolderDataset):
    """Class folders at a path, as RGB, normalised like ImageNet.

    With `PATH/train/<class>/*`, the test set is `PATH/test`, `val`, `valid` or `validation`,
    whichever there is first. Without (`PATH/<class>/*`, or `PATH/train` alone) a fifth of each
    class is the test set: the files whose names have the smallest sha-256, so that the split
    depends on names alone. The counts in `info` show it.

    Own resolution: the most common shorter side of up to 50 images, spread over the classes, and
    224 at most. An image that is not square keeps its shorter side and loses both ends of the
    other.
    """

    argument: ClassVar[str] = "path"

    path: str = ""
    """The folder; `folder:PATH` on the command line."""

    def info(self, root: Path | None) -> DatasetInfo:
        return self._find(root).describe()

    def verify(self, root: Path | None) -> list[str]:
        """Returns images of a sample that cannot be decoded."""
        return self._find(root).find_problems()

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Returns how the folder is understood; changes nothing."""
        folders = self._find(root)
        splits = (folders.train, folders.test)
        train, test = (sum(len(files) for files in split.values()) for split in splits)
        source = "folders of their own" if _has_split(folders.base) else "a fifth of each class"
        return [f"{train:,} training and {test:,} test images ({source})"]

    def _find(self, root: Path | None) -> Folders:
        base = Path(self.path).expanduser()
        name = f"folder:{self.path}"
        if not self.path or not base.is_dir():
            raise DDBenchError(
                f"data set '{name}' is not there",
                "expected: a folder PATH/<class>/*, or PATH/train/<class>/* and PATH/val/<class>/*",
                hint="give the path of an existing folder",
            )
        train, test = _split_images(name, base)
        folders = match_splits(name, base, train, test, Frame(LARGEST_OWN))
        own = find_side(train)
        name = name_at(name, self.resolution, own)
        return replace(folders, name=name, frame=Frame(self.resolution or own))


def _has_split(base: Path) -> bool:
    return (base / "train").is_dir() and any((base / name).is_dir() for name in TEST_FOLDERS)


def _split_images(dataset: str, base: Path) -> tuple[Split, Split]:
    """Returns training and test images by class."""
    inner = base / "train"
    if _has_split(base):
        test = next(base / folder for folder in TEST_FOLDERS if (base / folder).is_dir())
        return scan(inner), scan(test)
    classes = scan(inner if inner.is_dir() else base)
    alone = [name for name, files in classes.items() if len(files) == 1]
    if alone:
        raise DDBenchError(
            f"data set '{dataset}' has classes of one image",
            f"of one image: {', '.join(alone[:12])}",
            hint="give each class two images or more: one to train with, one to test on",
        )
    halves = {name: hold_out(files) for name, files in classes.items()}
    return (
        {name: train for name, (train, _) in halves.items()},
        {name: test for name, (_, test) in halves.items()},
    )


def hold_out(files: ClassFiles) -> tuple[ClassFiles, ClassFiles]:
    """Splits the images of a class: a fifth to test, those of the smallest sha-256."""
    ranked = sorted(
        range(len(files)),
        key=lambda row: hashlib.sha256(files.names[row].encode()).digest(),
    )
    count = max(1, round(len(files) / 5)) if len(files) else 0
    return files.pick(ranked[count:]), files.pick(ranked[:count])


def find_side(split: Split) -> int:
    """Returns the most common shorter side of a sample of images, at most 224; of two, the smaller.

    Raises:
        DDBenchError: no image of the sample can be read.
    """
    from PIL import Image

    paths = [files.folder / name for files in split.values() for name in files.names]
    sides: collections.Counter[int] = collections.Counter()
    for row in range(0, len(paths), max(1, -(-len(paths) // SAMPLE))):
        try:
            with Image.open(paths[row]) as image:  # reads the header only
                sides[min(image.size)] += 1
        except Exception:  # a damaged image is named when it is decoded
            continue
    if not sides:
        raise DDBenchError(
            f"cannot read any image below {paths[0].parent.parent}",
            f"tried {min(len(paths), SAMPLE)} of them, such as {paths[0].name}",
            hint="check the files",
        )
    most = max(sides.values())
    return min(LARGEST_OWN, *(side for side, count in sides.items() if count == most))


@hookimpl
def ddbench_datasets() -> Mapping[str, Dataset]:
    return {"folder": ImageFolder()}
