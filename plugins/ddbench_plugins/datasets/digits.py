"""Handwritten digits of 8 x 8 pixels that come with scikit-learn: real data without a download."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from ddbench import hookimpl
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._images import Chunk, describe_arrays, name_at, scale_all

OWN = 8
MEAN = (0.3058,)
STD = (0.3764,)
"""Mean and deviation of the training pixels in [0, 1]."""


class Digits(Dataset):
    """1,797 grey digits of 8 x 8 pixels by 43 writers; a fixed fifth of each class is the test set.

    References:
        [1] Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (test part).
    """

    default_ipc: ClassVar[int] = 1
    """Ten random digits a class with teacher labels already reach 98 %: one a class tells methods
    apart."""

    def info(self, root: Path | None) -> DatasetInfo:
        side = self.resolution or OWN
        return describe_arrays(
            _read_split("train"),
            _read_split("test"),
            name=name_at("digits", self.resolution, OWN),
            classes=tuple("0123456789"),
            shape=(1, side, side),
            mean=MEAN,
            std=STD,
            mirror=False,
        )

    def read(self, split: Literal["train", "test"], root: Path | None) -> Iterator[Chunk]:
        return scale_all(*_read_split(split), self.resolution or OWN)

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        return ["digits come with scikit-learn"]


@functools.cache
def _read_split(
    split: Literal["train", "test"],
) -> tuple[UInt8[np.ndarray, "n 8 8"], Int[np.ndarray, " n"]]:
    """Returns images and labels of a split, in scikit-learn's order."""
    table = _read_table()
    images = np.rint(table[:, :-1].reshape(-1, OWN, OWN) * (255 / 16)).astype(np.uint8)
    labels = table[:, -1].astype(np.int64)
    rng = np.random.RandomState(0)  # numpy promises that its stream never changes
    in_test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(labels == digit))
        in_test[rows[: round(len(rows) / 5)]] = True
    chosen = in_test if split == "test" else ~in_test
    return images[chosen], labels[chosen]


@functools.cache
def _read_table() -> Float[np.ndarray, "n 65"]:
    """Returns the table behind `load_digits`: 64 levels of 0 to 16, and the digit.

    Read without scikit-learn, whose import would be half the time of a grid that is finished.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return np.column_stack([digits.data, digits.target])


@hookimpl
def ddbench_datasets() -> Mapping[str, Dataset]:
    return {"digits": Digits()}
