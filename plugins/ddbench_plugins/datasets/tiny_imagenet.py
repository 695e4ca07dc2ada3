"""Tiny ImageNet: 200 classes of ImageNet at 64 x 64, validation images in either layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._class_folders import (
    Folders,
    Split,
    class_files,
    folders,
    images_below,
    scan,
)
from ddbench_plugins.datasets._images import Chunk, Frame, fetch, missing, name_at, side_of

OWN = 64
CLASSES, TRAIN_EACH, TEST_EACH = 200, 500, 50
MEAN = (0.4802, 0.4481, 0.3975)
STD = (0.2302, 0.2265, 0.2262)
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ANNOTATIONS = "val_annotations.txt"
LAYOUT = f"tiny-imagenet-200/ with wnids.txt, train/<WNID>/images/ and val/ with {ANNOTATIONS}"


@dataclass(frozen=True, slots=True)
class TinyImageNet:
    """100,000 training and 10,000 test (validation) images of 200 classes, sorted by WNID.

    As published, the validation images lie in one folder and `val_annotations.txt` says their
    classes; many copies have them in class folders instead. Both are read, and give the same
    images in the same order; nothing is written. At other resolutions the image is scaled whole.

    Differences:
        WMDD and its kin scale to 256, cut out 224, and normalise with ImageNet's constants.

    References:
        [1] Le and Yang, Tiny ImageNet Visual Recognition Challenge, CS 231N, 2015.
    """

    version: ClassVar[int] = 1

    resolution: int = 0
    """Pixels a side; 0 for 64."""

    def info(self, root: Path | None) -> DatasetInfo:
        found = self._found(root)
        return found.info(MEAN, STD, _titles(found.base, tuple(found.train)))

    def read(self, split: Literal["train", "test"], root: Path | None) -> Iterator[Chunk]:
        return self._found(root).read(split)

    def verify(self, root: Path | None) -> list[str]:
        """What differs from the published data; empty if nothing does."""
        return self._found(root).problems(TRAIN_EACH, TEST_EACH)

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Puts the validation images into class folders, for other programs; downloads if asked to.

        ddbench itself reads the published layout as it is. The annotations are kept.

        Returns:
            What was done.

        Raises:
            DDBenchError: the data is not there, and not asked for or not to be had.
        """
        notes = []
        if download and root is not None and _base(root) is None:
            from torchvision.datasets.utils import download_and_extract_archive as get

            fetch("tiny_imagenet", lambda: get(URL, str(root)))
            notes.append(f"downloaded {URL}")
        found = self._found(root)
        moved = 0
        for wnid, files in found.test.items():
            for name in files.names:
                target = files.folder / wnid / "images" / Path(name).name
                if name.startswith("images/"):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    (files.folder / name).rename(target)
                    moved += 1
        notes.append(f"tiny_imagenet is in {found.base}; moved {moved:,} validation images")
        return notes

    def _found(self, root: Path | None) -> Folders:
        side = side_of("tiny_imagenet", self.resolution, OWN)
        base = None if root is None else _base(root)
        if base is None:
            raise missing("tiny_imagenet", root, LAYOUT, URL)
        listed = sorted((base / "wnids.txt").read_text().split())
        if len(set(listed)) != CLASSES:
            raise DDBenchError(
                f"wnids.txt of data set 'tiny_imagenet' lists {len(set(listed))} classes",
                f"expected: {CLASSES}, in {base / 'wnids.txt'}",
                hint="unpack the data again",
            )
        name = name_at("tiny_imagenet", self.resolution, OWN)
        train, val = scan(base / "train"), validation(base / "val", listed)
        return folders(name, base, train, val, Frame(side), listed)


def validation(folder: Path, wnids: list[str]) -> Split:
    """Validation images by class: from class folders, and by annotation from the common folder.

    Args:
        folder: `val`.
        wnids: The classes.

    Raises:
        DDBenchError: images lie in the common folder and nothing says of which class they are.
    """
    found: dict[str, list[tuple[str, int]]] = {
        wnid: list(images_below(folder / wnid, f"{wnid}/"))
        for wnid in wnids
        if (folder / wnid).is_dir()
    }
    loose = list(images_below(folder / "images")) if (folder / "images").is_dir() else []
    said = annotated(folder / ANNOTATIONS)
    placed = {name.rpartition("/")[2] for files in found.values() for name, _ in files}
    for name, size in loose:
        if name in placed:  # copied into its class folder rather than moved
            continue
        if name not in said:
            raise DDBenchError(
                f"nothing says of which class the validation image '{name}' is",
                f"{len(said):,} images are listed in {folder / ANNOTATIONS}",
                f"class folders in {folder}: {len(found)}",
                hint="unpack the data again",
            )
        found.setdefault(said[name], []).append((f"images/{name}", size))
    return {wnid: class_files(folder, files) for wnid, files in found.items()}


def annotated(path: Path) -> dict[str, str]:
    """Image name to WNID; the file has tab-separated lines of name, WNID and bounding box."""
    if not path.exists():
        return {}
    rows = (line.split("\t") for line in path.read_text().splitlines() if line.strip())
    return {row[0]: row[1].strip() for row in rows if len(row) > 1}


def _base(root: Path) -> Path | None:
    for base in (root / "tiny-imagenet-200", root / "tiny_imagenet", root):
        if all((base / name).exists() for name in ("wnids.txt", "train", "val")):
            return base
    return None


def _titles(base: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """Readable names from `words.txt`; () if it is not there or lacks one."""
    path = base / "words.txt"
    if not path.exists():
        return ()
    rows = (line.partition("\t") for line in path.read_text().splitlines())
    words = {wnid: names.partition(",")[0].strip() for wnid, _, names in rows}
    return tuple(words[wnid] for wnid in wnids) if all(w in words for w in wnids) else ()


@hookimpl
def ddbench_datasets() -> Mapping[str, Dataset]:
    return {"tiny_imagenet": TinyImageNet()}
