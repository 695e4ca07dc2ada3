"""CIFAR-10 and CIFAR-100, from torchvision's files or from class folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._class_folders import Folders, match_splits, scan
from ddbench_plugins.datasets._images import (
    Chunk,
    Frame,
    explain_missing,
    fetch,
    find_folder,
    name_at,
    scale_all,
)

OWN = 32
NAMES10 = "airplane automobile bird cat deer dog frog horse ship truck"
NAMES100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
    cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR10, CIFAR100 = tuple(NAMES10.split()), tuple(NAMES100.split())


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts that set the two data sets apart; means and deviations are those of DC's family."""

    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stored: str
    """Folder of torchvision's files."""

    def count(self, split: Literal["train", "test"]) -> tuple[int, ...]:
        """Returns the images of each class, as published."""
        number = len(self.classes)
        return ((50_000 if split == "train" else 10_000) // number,) * number


FACTS: Mapping[int, Facts] = {
    10: Facts(
        "cifar10",
        CIFAR10,
        (0.4914, 0.4822, 0.4465),
        (0.2023, 0.1994, 0.2010),
        "cifar-10-batches-py",
    ),
    100: Facts(
        "cifar100",
        CIFAR100,
        (0.5071, 0.4866, 0.4409),
        (0.2673, 0.2564, 0.2762),
        "cifar-100-python",
    ),
}


class Cifar(Dataset):
    """50,000 training and 10,000 test photographs of 32 x 32 pixels in 10 or 100 classes.

    Read from torchvision's files (`cifar-10-batches-py/` or `cifar-100-python/`, in that order of
    images) where they lie under the data root, else from class folders such as
    `cifar10/train/cat/0001.png`.

    References:
        [1] Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """

    number: int = 10
    """Classes: 10 or 100."""

    def info(self, root: Path | None) -> DatasetInfo:
        facts, side = self._facts(), self.resolution or OWN
        stored = _find_stored(facts, root)
        if stored is None:
            return self._find_folders(root).describe(facts.mean, facts.std)
        return DatasetInfo(
            name=name_at(facts.name, self.resolution, OWN),
            classes=facts.classes,
            shape=(3, side, side),
            mean=facts.mean,
            std=facts.std,
            train_counts=facts.count("train"),
            test_counts=facts.count("test"),
            fingerprint=_hash_files(facts, stored),
        )

    def read(self, split: Literal["train", "test"], root: Path | None) -> Iterator[Chunk]:
        facts = self._facts()
        stored = _find_stored(facts, root)
        if stored is None:
            return self._find_folders(root).read(split)
        source = _open_source(facts, stored, split)
        return scale_all(source.data, np.asarray(source.targets), self.resolution or OWN)

    def verify(self, root: Path | None) -> list[str]:
        """Returns what differs from the published data."""
        facts = self._facts()
        stored = _find_stored(facts, root)
        if stored is None:
            folders = self._find_folders(root)
            return folders.find_problems(facts.count("train"), facts.count("test"))
        try:
            names = tuple(_open_source(facts, stored, "train").classes)
        except DDBenchError as fault:
            return [f"{fault.problem}: {'; '.join(fault.facts)}"]
        return [] if names == facts.classes else [f"class names differ: {', '.join(names)}"]

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Finds the images, or downloads them (170 MB) if asked to; returns where they are.

        Raises:
            DDBenchError: they are not there, and not asked for or not to be had.
        """
        facts = self._facts()
        there = root is not None and (_find_stored(facts, root) or (root / facts.name).is_dir())
        if download and root is not None and not there:
            fetch(facts.name, lambda: _load_source(facts)(root, download=True))
        stored = _find_stored(facts, root)
        return [f"{facts.name} is in {stored or self._find_folders(root).base}"]

    def _facts(self) -> Facts:
        if self.number not in FACTS:
            raise DDBenchError(f"unknown CIFAR of {self.number} classes", "known: 10, 100")
        return FACTS[self.number]

    def _find_folders(self, root: Path | None) -> Folders:
        facts = self._facts()
        base = find_folder(root, (facts.name,), ("train", "test"))
        if base is None:
            layout = f"{facts.stored}/, or {facts.name}/train/<class>/* and {facts.name}/test/..."
            raise explain_missing(facts.name, root, layout, f"ddbench data prepare {facts.name}")
        name, frame = name_at(facts.name, self.resolution, OWN), Frame(self.resolution or OWN)
        train, test = scan(base / "train"), scan(base / "test")
        return match_splits(name, base, train, test, frame, facts.classes)


def _find_stored(facts: Facts, root: Path | None) -> Path | None:
    """Returns the folder of torchvision's files, if they are there."""
    return find_folder(root, (facts.stored, f"{facts.name}/{facts.stored}"), (".",))


def _load_source(facts: Facts) -> Any:
    """Returns torchvision's class for the data set."""
    from torchvision import datasets

    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[facts.name]


def _open_source(facts: Facts, stored: Path, split: Literal["train", "test"]) -> Any:
    """Opens torchvision's data set, which checks the files' sums before it opens them.

    Raises:
        DDBenchError: a file is missing or differs.
    """
    try:
        return _load_source(facts)(stored.parent, train=split == "train", download=False)
    except RuntimeError as fault:
        raise DDBenchError(
            f"data set '{facts.name}' is damaged",
            f"a file of {stored} is missing or not as published",
            hint="remove the folder and get the data again",
        ) from fault


def _hash_files(facts: Facts, stored: Path) -> str:
    """Returns the sha-256 of class names, file names and sizes; contents are checked when read."""
    digest = hashlib.sha256("\0".join(facts.classes).encode())
    for path in sorted(stored.iterdir()):
        if path.suffix != ".html":
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
    return digest.hexdigest()


@hookimpl
def ddbench_datasets() -> Mapping[str, Dataset]:
    return {"cifar10": Cifar(10), "cifar100": Cifar(100)}
