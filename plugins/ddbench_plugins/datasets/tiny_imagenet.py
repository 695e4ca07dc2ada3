"""Tiny ImageNet: 200 classes of ImageNet at 64 x 64, validation images in either layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._class_folders import (
    FolderDataset,
    Folders,
    Split,
    list_images,
    match_splits,
    scan,
    sort_files,
)
from ddbench_plugins.datasets._images import Frame, explain_missing, fetch, find_folder, name_at

OWN = 64
CLASSES, TRAIN_EACH, TEST_EACH = 200, 500, 50
MEAN = (0.4802, 0.4481, 0.3975)
STD = (0.2302, 0.2265, 0.2262)
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ANNOTATIONS = "val_annotations.txt"
LAYOUT = f"tiny-imagenet-200/ with wnids.txt, train/<WNID>/images/ and val/ with {ANNOTATIONS}"


class TinyImageNet(FolderDataset):
    """100,000 training and 10,000 test (validation) images of 200 classes, sorted by WNID.

    As published, the validation images lie in one folder and `val_annotations.txt` says their
    classes; many copies have them in class folders instead. Both are read, and give the same
    images in the same order; nothing is written. At other resolutions the image is scaled whole.

    Differences:
        WMDD and its kin scale to 256, cut out 224, and normalise with ImageNet's constants.

    References:
        [1] Le and Yang, Tiny ImageNet Visual Recognition Challenge, CS 231N, 2015.
    """

    def info(self, root: Path | None) -> DatasetInfo:
        folders = self._find(root)
        return folders.describe(MEAN, STD, _read_titles(folders.base, tuple(folders.train)))

    def verify(self, root: Path | None) -> list[str]:
        """Returns what differs from the published data."""
        return self._find(root).find_problems([TRAIN_EACH] * CLASSES, [TEST_EACH] * CLASSES)

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Puts the validation images into class folders, for other programs; downloads if asked to.

        ddbench itself reads the published layout as it is. The annotations are kept.

        Returns:
            What was done.

        Raises:
            DDBenchError: the data is not there, and not asked for or not to be had.
        """
        notes = []
        if download and root is not None and _find_base(root) is None:
            from torchvision.datasets.utils import download_and_extract_archive as get

            fetch("tiny_imagenet", lambda: get(URL, str(root)))
            notes.append(f"downloaded {URL}")
        folders = self._find(root)
        moved = 0
        for wnid, files in folders.test.items():
            for name in files.names:
                target = files.folder / wnid / "images" / Path(name).name
                if name.startswith("images/"):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    (files.folder / name).rename(target)
                    moved += 1
        notes.append(f"tiny_imagenet is in {folders.base}; moved {moved:,} validation images")
        return notes

    def _find(self, root: Path | None) -> Folders:
        base = _find_base(root)
        if base is None:
            raise explain_missing("tiny_imagenet", root, LAYOUT, URL)
        listed = sorted((base / "wnids.txt").read_text().split())
        if len(set(listed)) != CLASSES:
            raise DDBenchError(
                f"wnids.txt of data set 'tiny_imagenet' lists {len(set(listed))} classes",
                f"expected: {CLASSES}, in {base / 'wnids.txt'}",
                hint="unpack the data again",
            )
        name = name_at("tiny_imagenet", self.resolution, OWN)
        train, val = scan(base / "train"), group_validation(base / "val", listed)
        return match_splits(name, base, train, val, Frame(self.resolution or OWN), listed)


def group_validation(folder: Path, wnids: list[str]) -> Split:
    """Returns validation images by class, those of the common folder by their annotations.

    Args:
        folder: `val`.
        wnids: The classes.

    Raises:
        DDBenchError: images lie in the common folder and nothing says of which class they are.
    """
    classes: dict[str, list[tuple[str, int]]] = {
        wnid: list(list_images(folder / wnid, f"{wnid}/"))
        for wnid in wnids
        if (folder / wnid).is_dir()
    }
    loose = list(list_images(folder / "images")) if (folder / "images").is_dir() else []
    annotations = read_annotations(folder / ANNOTATIONS)
    copied = {name.rpartition("/")[2] for files in classes.values() for name, _ in files}
    for name, size in loose:
        if name in copied:  # into its class folder, rather than moved
            continue
        if name not in annotations:
            raise DDBenchError(
                f"nothing says of which class the validation image '{name}' is",
                f"{len(annotations):,} images are listed in {folder / ANNOTATIONS}",
                f"class folders in {folder}: {len(classes)}",
                hint="unpack the data again",
            )
        classes.setdefault(annotations[name], []).append((f"images/{name}", size))
    return {wnid: sort_files(folder, files) for wnid, files in classes.items()}


def read_annotations(path: Path) -> dict[str, str]:
    """Returns the WNID of every image; a line holds name, WNID and bounding box, tab-separated."""
    if not path.exists():
        return {}
    rows = (line.split("\t") for line in path.read_text().splitlines() if line.strip())
    return {row[0]: row[1].strip() for row in rows if len(row) > 1}


def _find_base(root: Path | None) -> Path | None:
    places = ("tiny-imagenet-200", "tiny_imagenet", ".")
    return find_folder(root, places, ("wnids.txt", "train", "val"))


def _read_titles(base: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """Returns readable names from `words.txt`; () if it is not there or lacks one."""
    path = base / "words.txt"
    if not path.exists():
        return ()
    rows = (line.partition("\t") for line in path.read_text().splitlines())
    words = {wnid: names.partition(",")[0].strip() for wnid, _, names in rows}
    return tuple(words[wnid] for wnid in wnids) if all(w in words for w in wnids) else ()


@hookimpl
def ddbench_datasets() -> Mapping[str, Dataset]:
    return {"tiny_imagenet": TinyImageNet()}
