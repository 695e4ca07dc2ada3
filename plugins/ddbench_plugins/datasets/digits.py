"""Handwritten digits of 8 x 8 pixels that come with scikit-learn: real data without a download."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from ddbench import hookimpl
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._images import Chunk, name_at, scaled, side_of

OWN = 8
MEAN = (0.3058,)
STD = (0.3764,)
"""Of the training pixels in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Digits:
    """1,797 grey digits of 43 writers; a fixed fifth of each class is the test set.

    References:
        [1] Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (test part).
    """

    version: ClassVar[int] = 1
    default_ipc: ClassVar[int] = 1
    """Ten random digits a class with teacher labels already reach 98 %: one a class tells methods
    apart."""

    resolution: int = 0
    """Pixels a side; 0 for 8."""

    def info(self, root: Path | None) -> DatasetInfo:
        side = side_of("digits", self.resolution, OWN)
        train, test = _split("train"), _split("test")
        digest = hashlib.sha256()
        for images, labels in (train, test):
            digest.update(images.data)
            digest.update(labels.data)
        return DatasetInfo(
            name=name_at("digits", self.resolution, OWN),
            classes=tuple("0123456789"),
            shape=(1, side, side),
            mean=MEAN,
            std=STD,
            train_counts=tuple(np.bincount(train[1]).tolist()),
            test_counts=tuple(np.bincount(test[1]).tolist()),
            fingerprint=digest.hexdigest(),
            mirror=False,
        )

    def read(self, split: Literal["train", "test"], root: Path | None) -> Iterator[Chunk]:
        return scaled(*_split(split), side_of("digits", self.resolution, OWN))

    def verify(self, root: Path | None) -> list[str]:
        """Nothing can be wrong: the digits are part of scikit-learn."""
        return []

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        return ["digits come with scikit-learn"]


@functools.cache
def _split(
    split: Literal["train", "test"],
) -> tuple[UInt8[np.ndarray, "n 8 8"], Int[np.ndarray, " n"]]:
    """Images and labels of a split, in scikit-learn's order."""
    table = _table()
    images = np.rint(table[:, :-1].reshape(-1, OWN, OWN) * (255 / 16)).astype(np.uint8)
    labels = table[:, -1].astype(np.int64)
    rng = np.random.RandomState(0)  # numpy promises that its stream never changes
    held = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(labels == digit))
        held[rows[: round(len(rows) / 5)]] = True
    wanted = held if split == "test" else ~held
    return images[wanted], labels[wanted]


@functools.cache
def _table() -> Float[np.ndarray, "n 65"]:
    """The file behind `load_digits`: 64 levels of 0 to 16, and the digit.

    Read without scikit-learn, whose import would be half the time of a grid that is finished.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return np.column_stack([found.data, found.target])


@hookimpl
def ddbench_datasets() -> Mapping[str, Dataset]:
    return {"digits": Digits()}
