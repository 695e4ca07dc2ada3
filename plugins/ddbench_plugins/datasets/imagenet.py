"""ImageNet-1K and its ten-class subset Imagenette, from class folders named by WNID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ddbench import hookimpl
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._class_folders import (
    FolderDataset,
    Folders,
    list_folders,
    match_splits,
    scan,
)
from ddbench_plugins.datasets._images import Frame, explain_missing, fetch, find_folder, name_at

OWN = 224
IMAGENETTE_TITLES: Mapping[str, str] = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
IMAGENETTE_TRAIN = (963, 955, 993, 858, 941, 956, 961, 931, 951, 960)
IMAGENETTE_VAL = (387, 395, 357, 386, 409, 394, 389, 419, 399, 390)
"""Images of each class in version 2; version 1 was split otherwise."""
IMAGENETTE_LAYOUT = "imagenette/train/<WNID>/*.JPEG and imagenette/val/<WNID>/*.JPEG, ten WNIDs"
IMAGENET_LAYOUT = "imagenet/train/<WNID>/*.JPEG and imagenet/val/<WNID>/*.JPEG, 1,000 WNIDs"
IMAGENET_SOURCE = "https://image-net.org/download-images (ILSVRC 2012), after registration"


def frame_photographs(resolution: int) -> Frame:
    """Returns how ImageNet's photographs become squares.

    As in torchvision's Resize(256), CenterCrop(224), in proportion at other resolutions; but a
    square image of 224 pixels or fewer was cut before, and is scaled whole with a box filter.
    """
    return Frame(resolution, margin=256 / 224, whole=OWN)


class Photographs(FolderDataset):
    """Photographs of ImageNet, 224 pixels a side, in folders `train` and `val`."""

    def _match(self, name: str, base: Path, wnids: Sequence[str]) -> Folders:
        """Returns the photographs of both splits in a folder, checked to be of these classes."""
        name, frame = name_at(name, self.resolution, OWN), frame_photographs(self.resolution or OWN)
        return match_splits(name, base, scan(base / "train"), scan(base / "val"), frame, wnids)


class Imagenette(Photographs):
    """Ten easily told classes of ImageNet-1K: 9,469 training and 3,925 test photographs.

    Read from `imagenette/`, `imagenette2/`, `imagenette2-320/` or `imagenette2-160/` under the data
    root, or from the root itself.

    References:
        [1] Howard, Imagenette, https://github.com/fastai/imagenette (version 2).
    """

    def info(self, root: Path | None) -> DatasetInfo:
        return self._find(root).describe(titles=tuple(IMAGENETTE_TITLES.values()))

    def verify(self, root: Path | None) -> list[str]:
        """Returns what differs from the published data."""
        return self._find(root).find_problems(IMAGENETTE_TRAIN, IMAGENETTE_VAL)

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Finds the images, or downloads the 320-pixel version (0.3 GB) if asked to.

        Raises:
            DDBenchError: they are not there, and not asked for or not to be had.
        """
        if root is not None and _find_base(root) is None and download:
            from torchvision.datasets import Imagenette as Source

            fetch("imagenette", lambda: Source(root, split="train", size="320px", download=True))
        return [f"imagenette is in {self._find(root).base}"]

    def _find(self, root: Path | None) -> Folders:
        base = None if root is None else _find_base(root)
        if base is None:
            how = "https://github.com/fastai/imagenette, or ddbench data prepare imagenette"
            raise explain_missing("imagenette", root, IMAGENETTE_LAYOUT, how)
        return self._match("imagenette", base, tuple(IMAGENETTE_TITLES))


class ImageNet1k(Photographs):
    """ImageNet-1K (ILSVRC 2012): 1,281,167 training and 50,000 test (validation) photographs.

    References:
        [1] Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015.
    """

    def info(self, root: Path | None) -> DatasetInfo:
        return self._find(root).describe(titles=tuple(list_titles().values()))

    def verify(self, root: Path | None) -> list[str]:
        """Returns what differs from the published data."""
        folders = self._find(root)
        total = sum(len(files) for files in folders.train.values())
        wrong = [f"{total:,} training images, expected 1,281,167"] if total != 1_281_167 else []
        return wrong + folders.find_problems(test=[50] * len(folders.train))

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Finds the images; they are given only to who registers, so nothing is downloaded."""
        return [f"imagenet1k is in {self._find(root).base}"]

    def _find(self, root: Path | None) -> Folders:
        base = find_folder(root, ("imagenet",), ("train", "val"))
        if base is None:
            raise explain_missing("imagenet1k", root, IMAGENET_LAYOUT, IMAGENET_SOURCE)
        return self._match("imagenet1k", base, tuple(list_titles()))


def list_titles() -> Mapping[str, str]:
    """Returns WNID and readable name of the 1,000 classes, in the order of their usual indices."""
    from timm.data.imagenet_info import ImageNetInfo

    known = ImageNetInfo("imagenet-1k")
    names = known.label_names()
    return {name: known.label_name_to_description(name).partition(",")[0] for name in names}


def _find_base(root: Path) -> Path | None:
    """Returns where Imagenette lies: the first of the usual places."""
    named = ("imagenette", "imagenette2", "imagenette2-320", "imagenette2-160")
    others = sorted(path.name for path in root.glob("imagenette2*"))
    base = find_folder(root, (*named, *others), ("train", "val"))
    splits = [set(list_folders(root / split)) for split in ("train", "val")]
    return root if base is None and all(map(set(IMAGENETTE_TITLES).intersection, splits)) else base


@hookimpl
def ddbench_datasets() -> Mapping[str, Dataset]:
    return {"imagenette": Imagenette(), "imagenet1k": ImageNet1k()}
