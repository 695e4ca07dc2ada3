"""Fashion-MNIST: 70,000 grey articles of clothing, from its idx files."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._images import (
    Arrays,
    Chunk,
    compare_counts,
    describe_arrays,
    explain_missing,
    fetch,
    name_at,
    scale_all,
)

OWN = 28
NAMES = "T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot"
CLASSES = tuple(NAMES.split(", "))
MEAN = (0.2860,)
STD = (0.3530,)
"""Mean and deviation of the training pixels in [0, 1]."""
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package dataset-fashion-mnist puts the files."""
PREFIX = {"train": "train", "test": "t10k"}
LAYOUT = "fashion_mnist/train-images-idx3-ubyte[.gz] and its siblings, or FashionMNIST/raw/"
SOURCE = "apt-get install dataset-fashion-mnist, or ddbench data prepare fashion_mnist"


class FashionMnist(Dataset):
    """60,000 training and 10,000 test images of 28 x 28 grey pixels in ten classes.

    Read from `fashion_mnist/` or `FashionMNIST/raw/` under the data root, else from where the
    Debian package dataset-fashion-mnist puts the files.

    References:
        [1] Xiao et al., Fashion-MNIST, arXiv:1708.07747.
    """

    def info(self, root: Path | None) -> DatasetInfo:
        side, folder = self.resolution or OWN, _find_folder(root)
        return describe_arrays(
            _read_arrays(folder, "train"),
            _read_arrays(folder, "test"),
            name=name_at("fashion_mnist", self.resolution, OWN),
            classes=CLASSES,
            shape=(1, side, side),
            mean=MEAN,
            std=STD,
        )

    def read(self, split: Literal["train", "test"], root: Path | None) -> Iterator[Chunk]:
        return scale_all(*_read_arrays(_find_folder(root), split), self.resolution or OWN)

    def verify(self, root: Path | None) -> list[str]:
        """Returns the classes that have another number of images than published."""
        info = self.info(root)
        return [
            *compare_counts("training", info.classes, info.train_counts, [6000] * 10),
            *compare_counts("test", info.classes, info.test_counts, [1000] * 10),
        ]

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Finds the files, or downloads them (30 MB) if asked to; returns where they are.

        Raises:
            DDBenchError: they are not there, and not asked for or not to be had.
        """
        if download and root is not None and not _list_folders(root):
            from torchvision.datasets import FashionMNIST as Source

            fetch("fashion_mnist", lambda: Source(root, download=True))
        return [f"fashion_mnist is in {_find_folder(root)}"]


def _list_folders(root: Path | None) -> list[Path]:
    """Returns the folders that hold the training images, the best first."""
    own = [] if root is None else [root / "fashion_mnist", root / "FashionMNIST" / "raw"]
    return [folder for folder in (*own, DEBIAN) if list(folder.glob("train-images-idx3-ubyte*"))]


def _find_folder(root: Path | None) -> Path:
    folders = _list_folders(root)
    if not folders:
        raise explain_missing("fashion_mnist", root, LAYOUT, SOURCE)
    return folders[0]


def _read_arrays(folder: Path, split: Literal["train", "test"]) -> Arrays:
    """Returns images and labels of a split.

    Raises:
        DDBenchError: the files are not of this data set.
    """
    images = read_idx(_find_file(folder, f"{PREFIX[split]}-images-idx3-ubyte"))
    labels = read_idx(_find_file(folder, f"{PREFIX[split]}-labels-idx1-ubyte"))
    fits = images.shape == (len(labels), OWN, OWN) and set(np.unique(labels)) <= set(range(10))
    if not fits:
        raise DDBenchError(
            f"{folder} does not hold Fashion-MNIST",
            f"images {list(images.shape)}, expected [n, 28, 28]; {len(labels)} labels of 0 to 9",
            hint="remove the files and get them again",
        )
    return images, labels


def _find_file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise DDBenchError(
        f"data set 'fashion_mnist' lacks the file {name}",
        f"looked in {folder}, with and without .gz",
        hint="remove the folder and get the data again",
    )


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Reads an array of bytes from an idx file, plain or gzipped.

    The header is two zero bytes, 8 for unsigned bytes, the number of axes, and each axis as a
    big-endian 32-bit integer.

    Raises:
        DDBenchError: the file is damaged.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if raw[:3] != b"\0\0\x08":
            raise ValueError(f"its first bytes are {raw[:3].hex()}, not 000008")
        axes = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(axes.astype(int))
    except (OSError, EOFError, ValueError, IndexError) as fault:
        raise DDBenchError(
            f"cannot read the idx file {path}",
            f"{type(fault).__name__}: {fault}",
            hint="remove or replace the file",
        ) from fault


@hookimpl
def ddbench_datasets() -> Mapping[str, Dataset]:
    return {"fashion_mnist": FashionMnist()}
