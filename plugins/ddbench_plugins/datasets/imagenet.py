"""ImageNet-1K and its ten-class subset Imagenette, from class folders named by WNID."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ddbench import hookimpl
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._class_folders import Folders, folders, folders_in, scan
from ddbench_plugins.datasets._images import Chunk, Frame, fetch, missing, name_at, side_of

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
"""Of version 2; version 1 was split otherwise."""
IMAGENETTE_LAYOUT = "imagenette/train/<WNID>/*.JPEG and imagenette/val/<WNID>/*.JPEG, ten WNIDs"
IMAGENET_LAYOUT = "imagenet/train/<WNID>/*.JPEG and imagenet/val/<WNID>/*.JPEG, 1,000 WNIDs"
IMAGENET_SOURCE = "https://image-net.org/download-images (ILSVRC 2012), after registration"


def photographs(resolution: int) -> Frame:
    """How ImageNet's photographs become squares.

    As in torchvision's Resize(256), CenterCrop(224), in proportion at other resolutions; but a
    square image of 224 pixels or fewer was cut before, and is scaled whole with a box filter.
    """
    return Frame(resolution, margin=256 / 224, whole=OWN)


@dataclass(frozen=True, slots=True)
class Imagenette:
    """Ten easily told classes of ImageNet-1K: 9,469 training and 3,925 test photographs.

    Read from `imagenette/`, `imagenette2/`, `imagenette2-320/` or `imagenette2-160/` under the data
    root, or from the root itself.

    References:
        [1] Howard, Imagenette, https://github.com/fastai/imagenette (version 2).
    """

    version: ClassVar[int] = 1

    resolution: int = 0
    """Pixels a side; 0 for 224."""

    def info(self, root: Path | None) -> DatasetInfo:
        return self._found(root).info(titles=tuple(IMAGENETTE_TITLES.values()))

    def read(self, split: Literal["train", "test"], root: Path | None) -> Iterator[Chunk]:
        return self._found(root).read(split)

    def verify(self, root: Path | None) -> list[str]:
        """What differs from the published data; empty if nothing does."""
        wnids = tuple(IMAGENETTE_TITLES)
        train = dict(zip(wnids, IMAGENETTE_TRAIN, strict=True))
        val = dict(zip(wnids, IMAGENETTE_VAL, strict=True))
        return self._found(root).problems(train, val)

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Finds the images, or downloads the 320-pixel version (0.3 GB) if asked to.

        Returns:
            What was done.

        Raises:
            DDBenchError: they are not there, and not asked for or not to be had.
        """
        if root is not None and _base(root) is None and download:
            from torchvision.datasets import Imagenette as Source

            fetch("imagenette", lambda: Source(root, split="train", size="320px", download=True))
        return [f"imagenette is in {self._found(root).base}"]

    def _found(self, root: Path | None) -> Folders:
        side = side_of("imagenette", self.resolution, OWN)
        base = None if root is None else _base(root)
        if base is None:
            how = "https://github.com/fastai/imagenette, or ddbench data prepare imagenette"
            raise missing("imagenette", root, IMAGENETTE_LAYOUT, how)
        train, val = scan(base / "train"), scan(base / "val")
        name = name_at("imagenette", self.resolution, OWN)
        return folders(name, base, train, val, photographs(side), tuple(IMAGENETTE_TITLES))


@dataclass(frozen=True, slots=True)
class ImageNet1k:
    """ImageNet-1K (ILSVRC 2012): 1,281,167 training and 50,000 test (validation) photographs.

    References:
        [1] Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015.
    """

    version: ClassVar[int] = 1

    resolution: int = 0
    """Pixels a side; 0 for 224."""

    def info(self, root: Path | None) -> DatasetInfo:
        return self._found(root).info(titles=tuple(imagenet_titles().values()))

    def read(self, split: Literal["train", "test"], root: Path | None) -> Iterator[Chunk]:
        return self._found(root).read(split)

    def verify(self, root: Path | None) -> list[str]:
        """What differs from the published data; empty if nothing does."""
        found = self._found(root)
        total = sum(len(files) for files in found.train.values())
        wrong = [f"{total:,} training images, expected 1,281,167"] if total != 1_281_167 else []
        return wrong + found.problems(None, 50)

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Finds the images; they are given only to who registers, so nothing is downloaded."""
        return [f"imagenet1k is in {self._found(root).base}"]

    def _found(self, root: Path | None) -> Folders:
        side = side_of("imagenet1k", self.resolution, OWN)
        base = None if root is None else root / "imagenet"
        if base is None or not (base / "train").is_dir() or not (base / "val").is_dir():
            raise missing("imagenet1k", root, IMAGENET_LAYOUT, IMAGENET_SOURCE)
        train, val = scan(base / "train"), scan(base / "val")
        name = name_at("imagenet1k", self.resolution, OWN)
        return folders(name, base, train, val, photographs(side), tuple(imagenet_titles()))


def imagenet_titles() -> Mapping[str, str]:
    """WNID to readable name of the 1,000 classes, in the order of their usual indices."""
    from timm.data import ImageNetInfo

    known = ImageNetInfo("imagenet-1k")
    return {wnid: _first(known.label_name_to_description(wnid)) for wnid in known.label_names()}


def _first(description: str) -> str:
    return description.partition(",")[0]


def _base(root: Path) -> Path | None:
    """Where Imagenette lies: the first of the usual places."""
    named = ("imagenette", "imagenette2", "imagenette2-320", "imagenette2-160")
    for base in (*(root / name for name in named), *sorted(root.glob("imagenette2*"))):
        if (base / "train").is_dir() and (base / "val").is_dir():
            return base
    wnids = set(IMAGENETTE_TITLES)
    own = wnids & set(folders_in(root / "train")) and wnids & set(folders_in(root / "val"))
    return root if own else None


@hookimpl
def ddbench_datasets() -> Mapping[str, Dataset]:
    return {"imagenette": Imagenette(), "imagenet1k": ImageNet1k()}
